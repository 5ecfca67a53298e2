"""Keeps a job's lease alive from a thread, and learns there that the job is to be cancelled or is ours no longer."""

import logging
import time
from contextvars import copy_context
from threading import Event, Thread
from types import TracebackType

from safs.errors import Cancelled
from store import queue
from store.errors import DatabaseUnavailable, LeaseLost
from store.records import Lease
from store.session import Database

log = logging.getLogger(__name__)


class Heartbeat:
    """Renews ``lease`` every ``every_s`` seconds while the block runs; ``check`` raises what it learnt.

    A database that refuses is asked again until the lease would have expired by our own clock; one that is silent is
    waited for as long; from then on the job may be someone else's, so it counts as lost.
    """

    def __init__(self, database: Database, lease: Lease, *, lease_s: float, every_s: float) -> None:
        self._database, self._lease = database, lease
        self._lease_s, self._every_s = lease_s, every_s
        self._reason: Exception | None = None
        self._asked_at_s: float | None = None
        """While an answer is awaited."""
        self._stop = Event()
        self._thread = Thread(target=copy_context().run, args=(self._beat,), name="heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def check(self) -> None:
        """Raises ``Cancelled``, ``LeaseLost`` or what else ended the renewals if the run must end."""
        if self._reason is not None:
            raise self._reason
        asked_at_s = self._asked_at_s
        if asked_at_s is not None and time.monotonic() - asked_at_s > self._lease_s:
            raise LeaseLost(f"the database has said nothing for longer than the lease of {self._lease_s:g} s")

    def _beat(self) -> None:
        renewed_at_s = time.monotonic()
        while not self._stop.wait(self._every_s):
            asked_at_s = self._asked_at_s = time.monotonic()
            try:
                with self._database.begin() as tx:
                    cancelling = queue.renew(tx, self._lease, self._lease_s)
            except DatabaseUnavailable as error:
                log.warning("job %s: the lease could not be renewed: %s", self._lease.job_id, error)
                if time.monotonic() - renewed_at_s > self._lease_s:
                    self._reason = LeaseLost(f"the database was away for longer than the lease of {self._lease_s:g} s")
                    return
                continue
            except Exception as error:  # Whatever it is: nobody renews the lease any more.
                self._reason = error
                return
            finally:
                self._asked_at_s = None
            renewed_at_s = asked_at_s
            if cancelling and self._reason is None:
                self._reason = Cancelled("cancelled by the user")
