"""What a runner does between jobs: collects what nothing needs any more. One runner of all does it, once an hour."""

import logging
import time
from collections import Counter
from collections.abc import Iterator

from store.artifacts.stored_files import ArtifactStore
from store.errors import StoreError
from store.session import Database
from store.settings import StoreSettings
from store.upkeep import chores
from store.upkeep.collection import EVERY_S, Removed, chore, collect

log = logging.getLogger(__name__)

LOOK_EVERY_S = 60.0
"""How often it is asked whether the chore is due."""


class Janitor:
    """Collects in short steps, so that no job waits for it."""

    def __init__(self, database: Database, artifacts: ArtifactStore, settings: StoreSettings) -> None:
        self._database, self._artifacts, self._settings = database, artifacts, settings
        self._steps: Iterator[Removed] | None = None
        self._removed: Counter[str] = Counter()
        self._look_again_s = 0.0

    def tend(self, for_s: float) -> None:
        """Works for about ``for_s`` seconds if there is something to do; what is left waits for the next call.

        It never raises: whatever goes wrong here, jobs go on, and somebody tries again within the hour.
        """
        if self._steps is None and not self._begin():
            return
        assert self._steps is not None
        deadline_s = time.monotonic() + for_s
        try:
            for removed in self._steps:
                self._removed[removed.kind] += removed.count
                if time.monotonic() >= deadline_s:
                    return
        except (StoreError, OSError) as error:
            log.warning("collecting what nothing needs was broken off, and goes on within the hour: %s", error)
        except Exception:
            log.exception("collecting what nothing needs broke, and is tried again within the hour")
        else:
            told = ", ".join(f"{count} {kind}" for kind, count in self._removed.items() if count)
            log.info("collected: %s", told or "nothing")
        self._steps = None

    def _begin(self) -> bool:
        """Whether there is something to do from now on."""
        if time.monotonic() < self._look_again_s:
            return False
        self._look_again_s = time.monotonic() + LOOK_EVERY_S
        try:
            with self._database.begin() as tx:
                due = chores.claim(tx, chore(self._artifacts), EVERY_S)
        except StoreError as error:
            log.warning("whether something is to be collected cannot be asked: %s", error)
            return False
        if due:
            self._steps = collect(self._database, self._artifacts, self._settings)
            self._removed.clear()
        return due
