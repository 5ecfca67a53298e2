"""What each stage of a job costs in seconds, at the pace that was timed."""

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
from safs.spec.job import FinalCandidate, JobSpec
from safs.training.session import steps_per_epoch

KINDS: Mapping[Stage, Kind] = {
    Stage.DENSE: Kind.OWN,
    Stage.PRUNE: Kind.OWN,
    Stage.ACTIVATIONS: Kind.OPERATORS,
    Stage.TUNE: Kind.LEARNABLE,
    Stage.TUNE_ALONE: Kind.OWN_LEARNABLE,
    Stage.JOINT: Kind.LEARNABLE,
}
"""What a stage's trainings cost like."""
FINALISTS: Mapping[FinalCandidate, Kind] = {
    FinalCandidate.DEFAULT: Kind.OWN,
    FinalCandidate.ACTIVATIONS: Kind.OPERATORS,
    FinalCandidate.HYPERPARAMETERS: Kind.OWN_LEARNABLE,
    FinalCandidate.SAFS: Kind.LEARNABLE,
    FinalCandidate.JOINT: Kind.LEARNABLE,
}
FITS_A_MODEL: Mapping[str, float] = {"smac": 0.1, "hyperband": 0.1, "gp": 0.2, "tpe": 0.02}
"""Strategy -> seconds that proposing a trial takes (docs/decisions/017); the others take next to none."""
FIRST_ASK_S = 2.0
"""What such a strategy takes before its first proposal: it imports its package."""
MEASURED = 4
"""Networks that the report measures by layer, each in a pass forward and backward over the validation split."""
CROWD = 1.5
"""How much slower a step may be with others beside it, where it could only be timed alone."""


class Seconds(NamedTuple):
    """A time, and between which bounds it most likely is."""

    expected: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Slots:
    """Where the trainings run."""

    at_once: int
    """How many."""
    gpus: float
    """What each has of a GPU."""
    timed_alone: bool = False
    """Whether one training was timed with nothing beside it, though several will run at once."""


class StageCosts:
    """Costs stages, and adds up what the trainings themselves take.

    Args:
        timings: at least one.
    """

    def __init__(self, spec: JobSpec, found: Preflight, timings: Sequence[Timing], slots: Slots) -> None:
        self._spec, self._slots = spec, slots
        self._paces = {kind: _joined([timing.paces[kind] for timing in timings]) for kind in Kind}
        size = spec.data.batch_size
        self._steps = steps_per_epoch(found.data.train, size)
        self._validation, self._test = ceil(found.data.validation / size), ceil(found.data.test / size)
        self.busy_s = 0.0
        """Of all trainings so far, as if they ran one after the other."""
        self._stepping_s, self._stepped = 0.0, 0

    @property
    def step_s(self) -> float | None:
        """Of an optimizer step, on average over what was priced; None where nothing is trained."""
        return self._stepping_s / self._stepped if self._stepped else None

    def stage(self, one: StageWorkload) -> Seconds:
        """How long the stage takes. Of all trainings of a stage, each takes as long as their mean."""
        if one.stage is Stage.REPORT:
            return self._report()
        if not one.trials.expected:
            return Seconds(0.0, 0.0, 0.0)
        finalists = [FINALISTS[name] for name in self._spec.final.candidates]
        paces = [self._paces[kind] for kind in (finalists if one.stage is Stage.FINAL else [KINDS[one.stage]])]
        start_s, validation_s = _mean(paces, lambda pace: pace.start_s), self._validation_s(paces)
        step_s = Seconds(*(_mean(paces, get) for get in (_median_s, _low_s, _high_s)))
        times = Seconds(
            *(
                trials * start_s + epochs * (self._steps * seconds + validation_s)
                for trials, epochs, seconds in zip(_bounds(one.trials), _bounds(one.epochs), step_s, strict=True)
            )
        )
        self.busy_s += times.expected
        self._stepped += one.epochs.expected * self._steps
        self._stepping_s += one.epochs.expected * self._steps * step_s.expected
        asking_s = self._asking_s(one)
        return Seconds(
            times.expected * self._in_rounds(one.trials.expected) + asking_s,
            times.low / min(self._slots.at_once, one.trials.low),
            times.high * self._in_rounds(one.trials.high) * self._crowd + 2 * asking_s,
        )

    @property
    def _crowd(self) -> float:
        return CROWD if self._slots.timed_alone and self._slots.at_once > 1 else 1.0

    def _in_rounds(self, trainings: int) -> float:
        """Wall time as a share of the trainings' own: in rounds of as many as run at once, the last with some idle."""
        return ceil(trainings / min(self._slots.at_once, trainings)) / trainings

    def _validation_s(self, paces: Sequence[Pace]) -> float:
        """Of one epoch."""
        return self._validation * _mean(paces, lambda pace: pace.validation_s)

    def _asking_s(self, one: StageWorkload) -> float:
        """What proposing adds; with several at once, trainings hide all but the first."""
        section = search_of(self._spec, one.stage)
        if section is None or section.strategy not in FITS_A_MODEL:
            return 0.0
        asks = one.trials.expected if self._slots.at_once == 1 else 1
        return FIRST_ASK_S * (one.stage is not Stage.TUNE_ALONE) + asks * FITS_A_MODEL[section.strategy]

    def _report(self) -> Seconds:
        """Scoring all networks on validation and test, and measuring some by layer."""
        pace, final = self._paces[Kind.LEARNABLE], self._spec.final
        scored = 2 + len(final.candidates) * final.repeats
        score_s = (self._validation + self._test) * pace.validation_s + 2 * pace.start_s
        measure_s = self._validation * (pace.validation_s + pace.step.median_s) + pace.start_s
        seconds = scored * score_s * self._in_rounds(scored) + MEASURED * measure_s * self._in_rounds(MEASURED)
        return Seconds(seconds, 0.5 * seconds, 2 * seconds)


def _joined(paces: Sequence[Pace]) -> Pace:
    """Over all processes that timed: the mean, between the lowest and the highest."""
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
