"""The trainings of a job by stage, as far as its spec determines them."""

from dataclasses import dataclass
from math import ceil

from safs.estimates.asha_counts import asha_costs
from safs.events.kinds import Stage
from safs.events.plan import StagePlan, plan_stages
from safs.search import STRATEGIES
from safs.spec.halving import HalvingOptions, levels
from safs.spec.job import JobSpec
from safs.spec.options import parse_options
from safs.spec.searches import SearchSpec

LAHC_EXTRA = 3
"""Trials that LAHC adds while its last move improved. More are possible, and rare."""
PROMOTED = 1.25
"""Factor between the promotions of successive halving in the high count and its minimum."""
LEFT_EARLY = 1 / 3
"""Fraction of a search's epochs saved in the low count: trials break down, or stop since they predict one class."""


@dataclass(frozen=True, slots=True)
class Count:
    """An expected number, with bounds that hold for most jobs."""

    expected: int
    low: int
    high: int

    def __add__(self, other: "Count") -> "Count":
        return Count(self.expected + other.expected, self.low + other.low, self.high + other.high)


@dataclass(frozen=True, slots=True)
class StageWorkload:
    """The trainings of one stage."""

    stage: Stage
    trials: Count
    """Number of trials or trainings; 0 if the stage trains nothing."""
    epochs: Count
    """Epochs of all of them together."""


def workload(spec: JobSpec) -> tuple[StageWorkload, ...]:
    """The trainings of each stage, in order, if nothing is reused from an earlier job.

    Outside of searches the spec determines the epochs exactly. A search can train less (trials that break down or
    predict one class stop early) or more (LAHC continues while it improves).
    """
    searches = [(plan, search_of(spec, plan.stage)) for plan in plan_stages(spec)]
    return tuple(_exact(plan) if section is None else _of_search(plan, section) for plan, section in searches)


def search_of(spec: JobSpec, stage: Stage) -> SearchSpec | None:
    """The section of a stage's search; None if the stage is not a search."""
    searches: dict[Stage, SearchSpec] = {
        Stage.ACTIVATIONS: spec.activations,
        Stage.TUNE: spec.tune,
        Stage.TUNE_ALONE: spec.tune,
        Stage.JOINT: spec.joint,
    }
    return searches.get(stage)


def total(stages: tuple[StageWorkload, ...]) -> tuple[Count, Count]:
    """The trials and the epochs of all stages together."""
    nothing = Count(0, 0, 0)
    return sum((one.trials for one in stages), nothing), sum((one.epochs for one in stages), nothing)


def _exact(plan: StagePlan) -> StageWorkload:
    trials, epochs = plan.trials, plan.all_epochs
    return StageWorkload(plan.stage, Count(trials, trials, trials), Count(epochs, epochs, epochs))


def _of_search(plan: StagePlan, section: SearchSpec) -> StageWorkload:
    trials = least = high = plan.trials
    epochs = most = plan.all_epochs
    if section.strategy == "lahc":
        trials = least = max(trials, 2)  # Its stopping rule needs an idle step.
        epochs, high = trials * plan.epochs, trials + LAHC_EXTRA
        most = high * plan.epochs
    elif section.strategy == "asha":
        options = parse_options(HalvingOptions, section.options, what="strategy 'asha'", field="options")
        middle, greatest = asha_costs(section.trials, levels(section.epochs, options), options.eta)
        trials, epochs, high, most = middle.trials, middle.epochs, greatest.trials, greatest.epochs
    elif STRATEGIES[section.strategy].multi_fidelity:
        high, most = ceil(PROMOTED * trials), ceil(PROMOTED * epochs)
    fewest = max(least, round(epochs * (1 - LEFT_EARLY)))
    return StageWorkload(plan.stage, Count(trials, least, high), Count(epochs, min(fewest, epochs), most))
