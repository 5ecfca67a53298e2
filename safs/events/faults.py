"""Faults that a job survived, as its report lists them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from safs.events.durations import duration


@dataclass(frozen=True, slots=True)
class Faults:
    """Processes that a job lost, and their cost."""

    runners_lost: int = 0
    """Runners that stopped sending heartbeats while they held the job."""
    workers_lost: int = 0
    """Worker processes that died while the runner went on."""
    trials_repeated: int = 0
    """Trials that were interrupted by the loss of a runner or worker, and run again."""
    seconds_lost: float = 0.0
    """Wall time of work that was repeated, and of pauses without a runner."""

    def with_lost_worker(self, trials_repeated: int, seconds: float) -> "Faults":
        """A copy with one more lost worker."""
        return replace(
            self,
            workers_lost=self.workers_lost + 1,
            trials_repeated=self.trials_repeated + trials_repeated,
            seconds_lost=self.seconds_lost + seconds,
        )


NONE = Faults()


def survived(faults: Mapping[str, Any] | None) -> str | None:
    """One sentence about the ``faults`` of a report or a job; None if there were none, or they were not counted.

    >>> survived({"runners_lost": 1, "workers_lost": 2, "trials_repeated": 3, "seconds_lost": 41.2})
    'survived the loss of 1 runner and 2 workers: 3 trials were repeated, 41 s lost'
    >>> survived({"runners_lost": 0, "workers_lost": 0, "trials_repeated": 0, "seconds_lost": 0.0})
    """
    if faults is None:
        return None
    counts = {"runner": faults["runners_lost"], "worker": faults["workers_lost"]}
    lost = " and ".join(_number(count, what) for what, count in counts.items() if count)
    if not lost:
        return None
    repeated = faults["trials_repeated"]
    were = "was" if repeated == 1 else "were"
    return (
        f"survived the loss of {lost}: {_number(repeated, 'trial')} {were} repeated, "
        f"{duration(faults['seconds_lost'])} lost"
    )


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
