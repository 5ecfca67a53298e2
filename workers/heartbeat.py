"""The heartbeat of a running job: renews its lease from a thread, and learns of cancellations and lost leases."""

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
    """Renews ``lease`` every ``every_s`` seconds inside the ``with`` block; ``check`` raises if the run must end.

    While the database refuses connections, the heartbeat retries. Once ``lease_s`` seconds have passed since the last
    renewal by this process's clock, or the database has not answered for that long, the lease counts as lost:
    another runner may hold the job.
    """

    def __init__(self, database: Database, lease: Lease, *, lease_s: float, every_s: float) -> None:
        self._database, self._lease = database, lease
        self._lease_s, self._every_s = lease_s, every_s
        self._reason: Exception | None = None
        self._asked_at_s: float | None = None
        """Monotonic time at which the pending renewal was sent; None if no answer is awaited."""
        self._stop = Event()
        self._thread = Thread(target=copy_context().run, args=(self._run,), name="heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def check(self) -> None:
        """Raise ``Cancelled``, ``LeaseLost`` or the error that stopped the renewals; return if the run may go on."""
        if self._reason is not None:
            raise self._reason
        asked_at_s = self._asked_at_s
        if asked_at_s is not None and time.monotonic() - asked_at_s > self._lease_s:
            raise LeaseLost(f"the database has not answered for longer than the lease of {self._lease_s:g} s")

    def _run(self) -> None:
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
            except Exception as error:  # Any other error ends the renewals, so the run must end too.
                self._reason = error
                return
            finally:
                self._asked_at_s = None
            renewed_at_s = asked_at_s
            if cancelling and self._reason is None:
                self._reason = Cancelled("cancelled by the user")
