"""What a job has survived: the fault receipt of its report."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from safs.events.durations import duration


@dataclass(frozen=True, slots=True)
class Faults:
    """Processes that were lost under a job, and what that cost."""

    runners_lost: int = 0
    """Runners that stopped answering while they had the job."""
    workers_lost: int = 0
    """Processes of single trainings that were lost while the runner went on."""
    trials_repeated: int = 0
    """Trials that were cut short by either, and run again."""
    seconds_lost: float = 0.0
    """Wall time of work that had to be done again, or in which nobody worked."""

    def and_worker(self, trials_repeated: int, seconds: float) -> "Faults":
        """These, and one more worker that was lost."""
        return replace(
            self,
            workers_lost=self.workers_lost + 1,
            trials_repeated=self.trials_repeated + trials_repeated,
            seconds_lost=self.seconds_lost + seconds,
        )


NONE = Faults()


def survived(faults: Mapping[str, Any] | None) -> str | None:
    """One sentence of a report's or a job's ``faults``; None if nothing happened, or nobody has counted.

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
