"""Where the trials of a search leave what longer ones go on from."""

from typing import Generic, TypeVar

from safs.trials import Candidate, Trial

LIMIT_BYTES = 4 * 2**30
"""Snapshots of a thousand LeNet-5s, or of 25 ResNet-18s under Adam."""

Kept = TypeVar("Kept")


class SnapshotCache(Generic[Kept]):
    """What trials left behind, by number, each to be taken once.

    Where it grows beyond the limit, that of the worst trial goes, which is the least likely to be promoted. No outcome
    depends on what is here: a trial without the snapshot of the one that it continues trains from the start, to the
    same curve.

    Args:
        limit_bytes: of all that is kept at a time.
    """

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._kept: dict[int, tuple[Trial, Kept, int]] = {}

    def put(self, trial: Trial, kept: Kept, size_bytes: int) -> None:
        """Keeps what ``trial`` left, ``size_bytes`` large."""
        self._kept[trial.candidate.number] = (trial, kept, size_bytes)
        while sum(size for _, _, size in self._kept.values()) > self._limit_bytes:
            del self._kept[max(self._kept, key=lambda number: self._kept[number][0].rank)]

    def take(self, candidate: Candidate) -> Kept | None:
        """What the trial left that ``candidate`` continues; None if it continues none or nothing is left."""
        if candidate.continues is None or candidate.continues not in self._kept:
            return None
        return self._kept.pop(candidate.continues)[1]
