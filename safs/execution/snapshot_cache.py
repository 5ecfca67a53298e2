"""A cache of the snapshots that longer trials of a search resume from."""

from typing import Generic, TypeVar

from safs.trials import Candidate, Trial

LIMIT_BYTES = 4 * 2**30
"""Room for the snapshots of a thousand LeNet-5s, or of 25 ResNet-18s under Adam."""

Stored = TypeVar("Stored")


class SnapshotCache(Generic[Stored]):
    """Snapshots by trial number; each can be taken once.

    Beyond its size limit the cache evicts the snapshot of the worst trial, which is the least likely to be promoted.
    Eviction changes no outcome: a trial whose predecessor's snapshot is gone trains from the start, to the same curve.

    Args:
        limit_bytes: largest total size of the cached snapshots.
    """

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._entries: dict[int, tuple[Trial, Stored, int]] = {}

    def put(self, trial: Trial, snapshot: Stored, size_bytes: int) -> None:
        """Cache the snapshot of ``trial``, then evict until the limit holds."""
        self._entries[trial.candidate.number] = (trial, snapshot, size_bytes)
        while sum(size for _, _, size in self._entries.values()) > self._limit_bytes:
            del self._entries[max(self._entries, key=lambda number: self._entries[number][0].rank)]

    def take(self, candidate: Candidate) -> Stored | None:
        """Remove and return the snapshot of the trial that ``candidate`` continues; None if there is none."""
        if candidate.continues is None or candidate.continues not in self._entries:
            return None
        return self._entries.pop(candidate.continues)[1]
