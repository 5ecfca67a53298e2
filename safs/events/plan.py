"""The stages that a job will run, with the trials and epochs of each, as far as its spec determines them."""

from dataclasses import dataclass

from safs.events.kinds import Stage
from safs.spec.final import FinalCandidate
from safs.spec.front import BISECTIONS, passes_sparsities, pruning_epochs
from safs.spec.halving import HalvingOptions, halving_cost, hyperband_cost, levels
from safs.spec.job import JobSpec
from safs.spec.options import parse_options
from safs.spec.pruning import PruneSpec
from safs.spec.searches import SearchSpec
from safs.spec.starts import comparison_of, starts_of


@dataclass(frozen=True, slots=True)
class StagePlan:
    """Trials and epochs that a stage is expected to train."""

    stage: Stage
    trials: int
    """Number of trials or trainings; 0 if the stage trains nothing."""
    epochs: int
    """Epochs of each trial, or of the longest."""
    epochs_in_total: int | None = None
    """Least number of epochs of all trials together, without those that a continued trial has trained already. None if
    every trial trains ``epochs``."""

    @property
    def all_epochs(self) -> int:
        """Epochs of all trials together."""
        return self.trials * self.epochs if self.epochs_in_total is None else self.epochs_in_total


def plan_stages(spec: JobSpec) -> tuple[StagePlan, ...]:
    """The stages that a job will run, in order, with the epochs of each."""
    candidates = set(spec.final.candidates)
    both, operators = FinalCandidate.SAFS in candidates, FinalCandidate.ACTIVATIONS in candidates
    final, finalists = spec.final, spec.final.candidates
    one_shot = FinalCandidate.ONE_SHOT in candidates
    # The one-shot baseline trains as long as gradual pruning and the final training together.
    pruned = sum(_epochs_to_search(spec))
    all_epochs = final.repeats * (len(finalists) * final.epochs + one_shot * pruned)
    stages = {
        StagePlan(Stage.DENSE, *((1, spec.train.epochs) if _trains_dense(spec) else (0, 0))): True,
        plan_prune_search(spec.prune): bool(starts_of(spec.prune)),
        _plan_pruning(spec): True,
        plan_search(Stage.ACTIVATIONS, spec.activations): both or operators,
        plan_search(Stage.TUNE, spec.tune): both,
        plan_search(Stage.TUNE_ALONE, spec.tune): FinalCandidate.HYPERPARAMETERS in candidates,
        plan_search(Stage.JOINT, spec.joint): FinalCandidate.JOINT in candidates,
        StagePlan(Stage.FINAL, len(finalists) * final.repeats, final.epochs, all_epochs): True,
        _plan_front(spec): spec.front is not None,
        StagePlan(Stage.REPORT, 0, 0): True,
    }
    return tuple(stage for stage, runs in stages.items() if runs)


def _plan_pruning(spec: JobSpec) -> StagePlan:
    """The plan of the pruning to all sparsities, and once more in one shot for the baseline."""
    front = spec.sparsities
    trials = len(front) + (FinalCandidate.ONE_SHOT in spec.final.candidates)
    return StagePlan(Stage.PRUNE, trials, spec.prune.epochs, sum(pruning_epochs(spec.prune, front)))


def _epochs_to_search(spec: JobSpec) -> list[int]:
    """Epochs of each step of the pruning to the sparsity of the search."""
    front = [one for one in spec.sparsities if one <= (spec.sparsity or 0.0)]
    steps = pruning_epochs(spec.prune, front)
    return steps if passes_sparsities(spec.prune) else steps[-1:]


def _plan_front(spec: JobSpec) -> StagePlan:
    """The plan of the points of a front beside the search's; with ``accuracy_floor``, at most so many."""
    final, front = spec.final, spec.sparsities
    trainings = final.repeats * len(set(final.candidates) - {FinalCandidate.ONE_SHOT})
    extra = BISECTIONS if spec.accuracy_floor is not None else 0
    points = len(front) - 1 + extra
    pruning = extra * pruning_epochs(spec.prune, front)[-1]
    return StagePlan(Stage.FRONT, points * trainings + extra, final.epochs, points * trainings * final.epochs + pruning)


def _trains_dense(spec: JobSpec) -> bool:
    """True unless the dense network is given as it is; a file with an own network may hold no weights."""
    return spec.model.weights is None or spec.model.head is not None


def plan_prune_search(prune: PruneSpec) -> StagePlan:
    """The plan of the search for a pruned start."""
    starts = starts_of(prune)
    return plan_search(Stage.PRUNE_SEARCH, comparison_of(prune)) if starts else StagePlan(Stage.PRUNE_SEARCH, 0, 0)


def plan_search(stage: Stage, section: SearchSpec) -> StagePlan:
    """The plan of a search. In successive halving, each promotion is a trial of its own.

    Raises:
        SpecError: the strategy does not have one of the options.
    """
    costs = {"asha": halving_cost, "hyperband": hyperband_cost}
    if section.strategy not in costs:
        return StagePlan(stage, section.trials, section.epochs)
    what, field = f"strategy {section.strategy!r}", f"{stage.section}.options"
    options = parse_options(HalvingOptions, section.options, what=what, field=field)
    cost = costs[section.strategy](section.trials, levels(section.epochs, options), options.eta)
    return StagePlan(stage, cost.trials, section.epochs, cost.epochs)
