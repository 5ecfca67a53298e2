"""The presence of a runner: a row with a heartbeat, so that idle and lost runners are seen too."""

import logging
from collections.abc import Callable, Mapping
from importlib.metadata import version
from threading import Event, Thread
from types import TracebackType

from store import runners
from store.errors import StoreError
from store.session import Database
from workers.settings import WorkerSettings

log = logging.getLogger(__name__)

Resources = Mapping[str, Mapping[str, float]]
"""Resource -> ``total`` and ``free``."""


class Presence:
    """Announces the runner inside the ``with`` block, every ``heartbeat_s`` seconds, and removes it at the end.

    Jobs don't depend on it: while the database is away, heartbeats are left out.

    Args:
        cluster: address of the Ray cluster that the runner shares with others; None if it has a Ray of its own.
        resources: returns the resources of its Ray.
    """

    def __init__(
        self, settings: WorkerSettings, database: Database, cluster: str | None, resources: Callable[[], Resources]
    ) -> None:
        self._settings, self._database, self._cluster, self._resources = settings, database, cluster, resources
        self._announced = False
        self._stop = Event()
        self._thread = Thread(target=self._run, name="presence", daemon=True)

    def __enter__(self) -> "Presence":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(self._settings.heartbeat_s)
        try:
            with self._database.begin() as tx:
                runners.leave(tx, self._settings.name)
        except StoreError as away:
            log.info("the runner could not sign off: %s", away)

    def beat(self) -> None:
        """Write one heartbeat; raises ``StoreError`` while the database is away."""
        name, expires_s = self._settings.name, self._settings.lease_s
        found = {resource: dict(numbers) for resource, numbers in self._found().items()}
        if self._stop.is_set():  # while Ray was asked
            return
        with self._database.begin() as tx:
            if self._announced and runners.beat(tx, name, resources=found, expires_s=expires_s):
                return
            release = version("safs-service")
            runners.announce(tx, name, version=release, cluster=self._cluster, resources=found, expires_s=expires_s)
        self._announced = True

    def _found(self) -> Resources:
        try:
            return self._resources()
        except Exception as error:  # The runner is alive, whatever its Ray answers.
            log.warning("the resources of Ray are not known: %s", error)
            return {}

    def _run(self) -> None:
        while True:
            try:
                self.beat()
            except Exception as error:  # The next heartbeat tries again.
                expected = isinstance(error, StoreError)
                log.info("a heartbeat of the runner was left out: %s", error, exc_info=not expected)
            if self._stop.wait(self._settings.heartbeat_s):
                return
