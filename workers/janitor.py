"""Garbage collection between jobs. Of all runners, one collects per hour."""

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

CHECK_EVERY_S = 60.0
"""Seconds between two checks whether a collection is due."""


class Janitor:
    """Collects in short steps, so that no job waits for a collection."""

    def __init__(self, database: Database, artifacts: ArtifactStore, settings: StoreSettings) -> None:
        self._database, self._artifacts, self._settings = database, artifacts, settings
        self._steps: Iterator[Removed] | None = None
        self._removed: Counter[str] = Counter()
        self._next_check_s = 0.0

    def run(self, for_s: float) -> None:
        """Collect for about ``for_s`` seconds if a collection is due or in progress; the next call continues it.

        Never raises: an error is logged, and the collection is tried again within the hour.
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
            log.warning("the garbage collection was interrupted and is tried again within the hour: %s", error)
        except Exception:
            log.exception("the garbage collection failed and is tried again within the hour")
        else:
            summary = ", ".join(f"{count} {kind}" for kind, count in self._removed.items() if count)
            log.info("collected: %s", summary or "nothing")
        self._steps = None

    def _begin(self) -> bool:
        """Start a collection if one is due; return True if it was started."""
        if time.monotonic() < self._next_check_s:
            return False
        self._next_check_s = time.monotonic() + CHECK_EVERY_S
        try:
            with self._database.begin() as tx:
                due = chores.claim(tx, chore(self._artifacts), EVERY_S)
        except StoreError as error:
            log.warning("the database could not say whether a garbage collection is due: %s", error)
            return False
        if due:
            self._steps = collect(self._database, self._artifacts, self._settings)
            self._removed.clear()
        return due
