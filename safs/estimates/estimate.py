"""How long a job will take: what it trains times what that costs, with an interval."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from safs.estimates.stage_costs import Seconds, Slots, StageCosts
from safs.estimates.timing import Timing, Untimed
from safs.estimates.workload import Count, total, workload
from safs.events.durations import span
from safs.events.kinds import Stage
from safs.preflight import Preflight
from safs.spec.job import JobSpec


@dataclass(frozen=True, slots=True)
class StageEstimate:
    """What a stage is expected to train, and how long that takes."""

    stage: Stage
    trials: int
    epochs: int
    """Over all its trials."""
    seconds: float | None
    low_s: float | None
    high_s: float | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a job is expected to take from its first stage to its last; waiting in the queue does not count.

    Times are None where nothing could be timed; ``untimed`` says why.
    """

    trials: Count
    """Trials and trainings of all stages."""
    epochs: Count
    seconds: float | None
    low_s: float | None
    high_s: float | None
    gpu_hours: float | None
    """Of the trainings: the time of each times its share of a GPU; None on CPUs."""
    device: str | None
    """What it was timed on."""
    in_flight: int
    """Trainings that run at once."""
    step_seconds: float | None
    """Of an optimizer step, on average over the job."""
    stages: tuple[StageEstimate, ...]
    untimed: str | None = None

    @property
    def summary(self) -> str:
        """One sentence for people."""
        what = f"{self.trials.expected:,} trainings, {self.epochs.expected:,} epochs"
        if self.seconds is None or self.low_s is None or self.high_s is None:
            return f"{what}; how long they take could not be timed ({self.untimed})"
        pace = f"{what}, {self.in_flight} at once, timed on {self.device}"
        return f"about {span(self.seconds, self.low_s, self.high_s)}: {pace}"

    def as_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self) | {"summary": self.summary}


def estimate(spec: JobSpec, found: Preflight, timed: Sequence[Timing | Untimed], slots: Slots) -> Estimate:
    """What the job will take if nothing is reused from earlier jobs.

    The expected time takes the expected counts at the mean pace. The interval joins the low counts at the low pace with
    all slots always busy, and the high counts at the high pace: its ends are unlikely, on purpose.

    Args:
        timed: one a process that timed, all at the same time.
    """
    stages = workload(spec)
    trials, epochs = total(stages)
    timings = [one for one in timed if isinstance(one, Timing)]
    costs = StageCosts(spec, found, timings, slots) if timings else None
    times = [None if costs is None else costs.stage(one) for one in stages]
    known = [one for one in times if one is not None]
    whole = Seconds(*map(sum, zip(*known, strict=True))) if known else None
    reasons = [one.reason for one in timed if isinstance(one, Untimed)]
    return Estimate(
        trials=trials,
        epochs=epochs,
        seconds=whole and whole.expected,
        low_s=whole and whole.low,
        high_s=whole and whole.high,
        gpu_hours=costs.busy_s * slots.gpus / 3600 if costs and timings[0].gpu else None,
        device=timings[0].device if timings else None,
        in_flight=slots.at_once,
        step_seconds=costs.step_s if costs else None,
        stages=tuple(
            StageEstimate(one.stage, one.trials.expected, one.epochs.expected, *(time or (None, None, None)))
            for one, time in zip(stages, times, strict=True)
        ),
        untimed=None if timings else next(iter(reasons), "nothing was timed"),
    )
