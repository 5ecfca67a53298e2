"""The cost of each stage of a job in seconds, at the timed pace."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import fmean
from typing import NamedTuple

from safs.estimates.stopwatch import Lap
from safs.estimates.timing import Kind, Pace, Timing
from safs.estimates.workload import Count, StageWorkload, search_of
from safs.events.kinds import Stage
from safs.preflight import Preflight
from safs.spec.final import FinalCandidate
from safs.spec.job import JobSpec
from safs.training.session import steps_per_epoch

KINDS: Mapping[Stage, Kind] = {
    Stage.DENSE: Kind.OWN,
    Stage.PRUNE_SEARCH: Kind.OWN,
    Stage.PRUNE: Kind.OWN,
    Stage.ACTIVATIONS: Kind.OPERATORS,
    Stage.TUNE: Kind.LEARNABLE,
    Stage.TUNE_ALONE: Kind.OWN_LEARNABLE,
    Stage.JOINT: Kind.LEARNABLE,
}
"""Stage -> the kind of training whose pace its trainings have."""
FINALISTS: Mapping[FinalCandidate, Kind] = {
    FinalCandidate.ONE_SHOT: Kind.OWN,
    FinalCandidate.DEFAULT: Kind.OWN,
    FinalCandidate.ACTIVATIONS: Kind.OPERATORS,
    FinalCandidate.HYPERPARAMETERS: Kind.OWN_LEARNABLE,
    FinalCandidate.SAFS: Kind.LEARNABLE,
    FinalCandidate.JOINT: Kind.LEARNABLE,
}
FITS_A_MODEL: Mapping[str, float] = {"smac": 0.1, "hyperband": 0.1, "gp": 0.2, "tpe": 0.02}
"""Strategy -> seconds per proposal (docs/decisions/017). Other strategies take almost none."""
FIRST_ASK_S = 2.0
"""Seconds that such a strategy takes before its first proposal, to import its package."""
MEASURED = 4
"""Networks that the report measures by layer, each in one forward and backward pass over the validation split."""
CROWD = 1.5
"""Factor by which a step may be slower beside other trainings, if it was timed alone."""


class Seconds(NamedTuple):
    """A time in seconds, with the bounds of its interval."""

    expected: float
    low: float
    high: float


REPORT_STARTS = Seconds(0.8, 0.2, 5.0)
"""Seconds that a report takes for any network: the formulas of operations are imported, and files are written."""


@dataclass(frozen=True, slots=True)
class Slots:
    """The resources that trainings run on."""

    at_once: int
    """Number of trainings that run at once."""
    gpus: float
    """GPUs of each training."""
    timed_alone: bool = False
    """True if one training was timed alone although several will run at once."""


class StageCosts:
    """Compute the cost of stages, and the total time of their trainings.

    Args:
        timings: at least one.
    """

    def __init__(self, spec: JobSpec, preflight: Preflight, timings: Sequence[Timing], slots: Slots) -> None:
        self._spec, self._slots = spec, slots
        self._paces = {kind: _joined([timing.paces[kind] for timing in timings]) for kind in Kind}
        size = spec.data.batch_size
        self._steps = steps_per_epoch(preflight.data.train, size)
        self._validation, self._test = ceil(preflight.data.validation / size), ceil(preflight.data.test / size)
        self.busy_s = 0.0
        """Seconds of all trainings so far, as if they ran one after the other."""
        self._stepping_s, self._stepped = 0.0, 0

    @property
    def step_s(self) -> float | None:
        """Seconds of an optimizer step, on average over the stages so far; None if nothing is trained."""
        return self._stepping_s / self._stepped if self._stepped else None

    def stage(self, workload: StageWorkload) -> Seconds:
        """The time of a stage. All trainings of a stage are assumed to take equally long."""
        if workload.stage is Stage.REPORT:
            return self._report()
        if not workload.trials.expected:
            return Seconds(0.0, 0.0, 0.0)
        finalists = [FINALISTS[name] for name in self._spec.final.candidates]
        kinds = finalists if workload.stage in (Stage.FINAL, Stage.FRONT) else [KINDS[workload.stage]]
        paces = [self._paces[kind] for kind in kinds]
        # Pruning in one shot trains nothing, so it traces and compiles no network.
        start_s = _mean(paces, lambda pace: pace.start_s) if workload.epochs.expected else 0.0
        validation_s = self._validation_s(paces)
        step_s = Seconds(*(_mean(paces, get) for get in (_median_s, _low_s, _high_s)))
        times = Seconds(
            *(
                trials * start_s + epochs * (self._steps * seconds + validation_s)
                for trials, epochs, seconds in zip(
                    _bounds(workload.trials), _bounds(workload.epochs), step_s, strict=True
                )
            )
        )
        self.busy_s += times.expected
        self._stepped += workload.epochs.expected * self._steps
        self._stepping_s += workload.epochs.expected * self._steps * step_s.expected
        asking_s = self._asking_s(workload)
        return Seconds(
            times.expected * self._in_rounds(workload.trials.expected) + asking_s,
            times.low / min(self._slots.at_once, workload.trials.low),
            times.high * self._in_rounds(workload.trials.high) * self._crowd + 2 * asking_s,
        )

    @property
    def _crowd(self) -> float:
        return CROWD if self._slots.timed_alone and self._slots.at_once > 1 else 1.0

    def _in_rounds(self, trainings: int) -> float:
        """Wall time over total training time: trainings run in rounds, and slots can be idle in the last round."""
        return ceil(trainings / min(self._slots.at_once, trainings)) / trainings

    def _validation_s(self, paces: Sequence[Pace]) -> float:
        """Seconds of one epoch's validation."""
        return self._validation * _mean(paces, lambda pace: pace.validation_s)

    def _asking_s(self, workload: StageWorkload) -> float:
        """Seconds that proposing adds. With several trainings at once, they hide all proposals but the first."""
        section = search_of(self._spec, workload.stage)
        if section is None or section.strategy not in FITS_A_MODEL:
            return 0.0
        asks = workload.trials.expected if self._slots.at_once == 1 else 1
        return FIRST_ASK_S * (workload.stage is not Stage.TUNE_ALONE) + asks * FITS_A_MODEL[section.strategy]

    def _report(self) -> Seconds:
        """The time to score all networks on validation and test, and to measure some by layer."""
        pace, final = self._paces[Kind.LEARNABLE], self._spec.final
        scored = 1 + (1 + len(final.candidates) * final.repeats) * len(self._spec.sparsities)
        score_s = (self._validation + self._test) * pace.validation_s + 2 * pace.start_s
        measure_s = self._validation * (pace.validation_s + pace.step.median_s) + pace.start_s
        seconds = scored * score_s * self._in_rounds(scored) + MEASURED * measure_s * self._in_rounds(MEASURED)
        fixed = REPORT_STARTS
        return Seconds(fixed.expected + seconds, fixed.low + 0.5 * seconds, fixed.high + 2 * seconds)


def _joined(paces: Sequence[Pace]) -> Pace:
    """The mean pace of all processes, between the lowest and the highest."""
    step = Lap(min(map(_low_s, paces)), _mean(paces, _median_s), max(map(_high_s, paces)))
    return Pace(step, _mean(paces, lambda pace: pace.validation_s), _mean(paces, lambda pace: pace.start_s))


def _mean(paces: Sequence[Pace], get: Callable[[Pace], float]) -> float:
    return fmean(map(get, paces))


def _low_s(pace: Pace) -> float:
    return pace.step.low_s


def _median_s(pace: Pace) -> float:
    return pace.step.median_s


def _high_s(pace: Pace) -> float:
    return pace.step.high_s


def _bounds(count: Count) -> tuple[int, int, int]:
    return count.expected, count.low, count.high
