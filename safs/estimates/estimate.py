"""The estimate of a job: number of trainings times time per training, with an interval."""

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

NOTHING = Seconds(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class StageEstimate:
    """The expected trainings and time of one stage."""

    stage: Stage
    trials: int
    epochs: int
    """Epochs of all its trials together."""
    seconds: float | None
    low_s: float | None
    high_s: float | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """The expected cost of a job from its claim to its end, without the time in the queue.

    Times are None if nothing could be timed; ``untimed`` holds the reason.
    """

    trials: Count
    """Number of trials and trainings of all stages."""
    epochs: Count
    seconds: float | None
    low_s: float | None
    high_s: float | None
    before_s: float | None
    """Part of ``seconds`` before the first stage: reading the data, starting workers, timing."""
    gpu_hours: float | None
    """GPU-hours of the trainings: the time of each times its share of a GPU; None on CPUs."""
    device: str | None
    """Device that the trainings were timed on."""
    in_flight: int
    """Number of trainings that run at once."""
    step_seconds: float | None
    """Seconds of an optimizer step, on average over the job."""
    stages: tuple[StageEstimate, ...]
    untimed: str | None = None
    """Why nothing could be timed; None if something was."""

    @property
    def summary(self) -> str:
        """One sentence for people."""
        what = f"{self.trials.expected:,} trainings, {self.epochs.expected:,} epochs"
        if self.seconds is None or self.low_s is None or self.high_s is None:
            return f"{what}; how long they take could not be timed ({self.untimed})"
        pace = f"{what}, {self.in_flight} at once, timed on {self.device}"
        return f"about {span(self.seconds, self.low_s, self.high_s)}: {pace}"

    def as_json(self) -> dict[str, Any]:
        """The estimate as JSON, with its summary."""
        return asdict(self) | {"summary": self.summary}


def estimate(
    spec: JobSpec, preflight: Preflight, timings: Sequence[Timing | Untimed], slots: Slots, before: Seconds = NOTHING
) -> Estimate:
    """Estimate the cost of the job if nothing is reused from earlier jobs.

    The expected time is the expected counts at the mean pace. The low end of the interval is the low counts at the low
    pace with all slots always busy, the high end is the high counts at the high pace. Both ends are unlikely.

    Args:
        timings: one per process; all processes timed at once.
        before: time before the first stage.
    """
    stages = workload(spec)
    trials, epochs = total(stages)
    timed = [timing for timing in timings if isinstance(timing, Timing)]
    costs = StageCosts(spec, preflight, timed, slots) if timed else None
    times = [None if costs is None else costs.stage(stage) for stage in stages]
    known = [time for time in times if time is not None]
    whole = Seconds(*map(sum, zip(before, *known, strict=True))) if known else None
    reasons = [timing.reason for timing in timings if isinstance(timing, Untimed)]
    return Estimate(
        trials=trials,
        epochs=epochs,
        seconds=whole and whole.expected,
        low_s=whole and whole.low,
        high_s=whole and whole.high,
        before_s=whole and before.expected,
        gpu_hours=costs.busy_s * slots.gpus / 3600 if costs and timed[0].gpu else None,
        device=timed[0].device if timed else None,
        in_flight=slots.at_once,
        step_seconds=costs.step_s if costs else None,
        stages=tuple(
            StageEstimate(stage.stage, stage.trials.expected, stage.epochs.expected, *(time or (None, None, None)))
            for stage, time in zip(stages, times, strict=True)
        ),
        untimed=None if timed else next(iter(reasons), "nothing was timed"),
    )
