"""What a job will train, stage by stage: known from its spec alone, but for what the searches do on their way."""

from dataclasses import dataclass
from math import ceil

from safs.events.kinds import Stage
from safs.events.progress import StagePlan, plan_stages
from safs.search import STRATEGIES
from safs.spec.job import JobSpec, SearchSpec

LAHC_EXTRA = 3
"""Trials that LAHC adds while its last move improved; more are possible, and rare."""
PROMOTED = 1.25
"""What successive halving may promote, as a multiple of what it promotes at least."""
LEFT_EARLY = 1 / 3
"""Share of a search's epochs that is spared where a good many trials break down or predict one class and are left."""


@dataclass(frozen=True, slots=True)
class Count:
    """How many, and between which bounds most jobs stay."""

    expected: int
    low: int
    high: int

    def __add__(self, other: "Count") -> "Count":
        return Count(self.expected + other.expected, self.low + other.low, self.high + other.high)


@dataclass(frozen=True, slots=True)
class StageWorkload:
    """What a stage trains."""

    stage: Stage
    trials: Count
    """Trials or trainings; 0 where the stage trains nothing."""
    epochs: Count
    """Over all of them."""


def workload(spec: JobSpec) -> tuple[StageWorkload, ...]:
    """What each of the job's stages trains, in order, if nothing is reused from an earlier job.

    Trainings that are no trials of a search train exactly what the spec says. A search may train less (trials that
    break down, or that after their first epochs predict one class, are left) or more (LAHC goes on while it improves).
    """
    searches = [(plan, search_of(spec, plan.stage)) for plan in plan_stages(spec)]
    return tuple(_exact(plan) if section is None else _of_search(plan, section) for plan, section in searches)


def search_of(spec: JobSpec, stage: Stage) -> SearchSpec | None:
    """The search that a stage is; None for a stage that is none."""
    searches: dict[Stage, SearchSpec] = {
        Stage.ACTIVATIONS: spec.activations,
        Stage.TUNE: spec.tune,
        Stage.TUNE_ALONE: spec.tune,
        Stage.JOINT: spec.joint,
    }
    return searches.get(stage)


def total(stages: tuple[StageWorkload, ...]) -> tuple[Count, Count]:
    """Trials and epochs of all stages together."""
    nothing = Count(0, 0, 0)
    return sum((one.trials for one in stages), nothing), sum((one.epochs for one in stages), nothing)


def _exact(plan: StagePlan) -> StageWorkload:
    trials, epochs = plan.trials, plan.all_epochs
    return StageWorkload(plan.stage, Count(trials, trials, trials), Count(epochs, epochs, epochs))


def _of_search(plan: StagePlan, section: SearchSpec) -> StageWorkload:
    trials, epochs, high, most = plan.trials, plan.all_epochs, plan.trials, plan.all_epochs
    if section.strategy == "lahc":
        trials = max(trials, 2)  # Its stopping rule needs an idle step.
        epochs, high = trials * plan.epochs, trials + LAHC_EXTRA
        most = high * plan.epochs
    elif STRATEGIES[section.strategy].multi_fidelity:
        high, most = ceil(PROMOTED * trials), ceil(PROMOTED * epochs)
    least = max(trials, round(epochs * (1 - LEFT_EARLY)))
    return StageWorkload(plan.stage, Count(trials, trials, high), Count(epochs, min(least, epochs), most))
