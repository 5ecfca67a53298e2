"""The pruning of a job: the search for a pruned start, the pruning itself, and the one-shot baseline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from safs.errors import TrainingError
from safs.events.kinds import Note, Stage
from safs.events.stage_log import StageRecord
from safs.execution.executor import Task
from safs.execution.pruned_training import PrunedTraining, after_pruning
from safs.execution.pruning import Pruning
from safs.execution.training import Training
from safs.execution.work import Context, Trained
from safs.networks import Network
from safs.pipeline.state import JobContext, KeyedNetwork, PrunedStart, recipe_of, with_advice
from safs.pipeline.targets import Checked, Found, Sparsities, nearest
from safs.pruning.pruners import PRUNERS
from safs.reuse.cached_executor import KeyedWork
from safs.reuse.keys import key_of
from safs.search import Strategy, make_strategy
from safs.spec.final import FinalCandidate
from safs.spec.front import passes_sparsities, pruning_epochs
from safs.spec.pruning import PruneSpec
from safs.spec.starts import comparison_of, one_shot
from safs.trials import Candidate, Config, Trial, best_trial


@dataclass(frozen=True, slots=True)
class PruningStep:
    """A pruning to one sparsity, from the dense network or from a network that is pruned already."""

    number: int
    """Number of its trial within the stage."""
    sparsity: float
    spec: PruneSpec
    """The pruning, with the epochs of this step."""
    before: int = 0
    """Epochs of the steps before it."""
    estimated: float | None = None
    """Estimated cost at the sparsity, in the unit of the job's target; None if it has none."""


@dataclass(frozen=True, slots=True)
class PrunedNetwork:
    """A pruned network, and the context and cache key of the trainings that start from it."""

    spec: PruneSpec
    """The pruning that made the network, with the epochs of all of its steps."""
    sparsity: float
    trained: Trained
    """Outcome and network of the last step."""
    start: PrunedStart
    estimated: float | None = None
    """Estimated cost at the sparsity, in the unit of the job's target; None if it has none."""
    checked: tuple[Checked, ...] = ()
    """Measured costs of this pruning and of those that it corrects, in their order; empty without a target."""

    @property
    def network(self) -> Network:
        assert self.trained.network is not None
        return self.trained.network


@dataclass(frozen=True, slots=True)
class Starts:
    """The pruned networks of a job."""

    chosen: PrunedNetwork
    """The network that the searches and the final trainings start from."""
    one_shot: PrunedNetwork | None
    """The network pruned in one shot, for the baseline; None if the job does not compare, or ``chosen`` is that one."""
    front: Mapping[float, PrunedNetwork]
    """Sparsity -> network, in ascending order; ``chosen`` alone if the job has no front."""
    dense: PrunedStart
    """Context and cache key of what begins with the dense network."""


def pruning_of(job: JobContext, candidate: FinalCandidate, pruned: PrunedNetwork) -> dict[str, Any]:
    """The pruning that a final candidate started from, as a section of a spec.

    Args:
        pruned: the network that all candidates but ``one_shot`` start from.
    """
    spec = one_shot(job.spec.prune) if candidate == FinalCandidate.ONE_SHOT else pruned.spec
    return spec.model_dump(mode="json", exclude={"search"})


def pruned_starts(job: JobContext, dense: KeyedNetwork, context: Context) -> Starts:
    """Choose how to prune, prune, and prune once more in one shot if the final comparison needs it.

    Args:
        context: trainings from the dense network.
    """
    spec, at, sparsities = job.spec, PrunedStart(context, dense.key), Sparsities(job, dense, context)
    best = _best_start(job, dense, context, sparsities) if job.preflight.starts else spec.prune
    chosen, baseline = best.model_copy(update={"search": None}), one_shot(spec.prune)
    compares = FinalCandidate.ONE_SHOT in spec.final.candidates and chosen != baseline
    found, found_baseline = sparsities.of(chosen), sparsities.of(baseline) if compares else None
    steps = _steps(chosen, spec.front or [found.sparsity], found.estimated)
    with job.stage_log.stage(Stage.PRUNE, trials=len(steps) + compares, epochs=chosen.epochs) as record:
        from_dense = steps[:1] if passes_sparsities(chosen) else steps
        extra = []
        if found_baseline is not None:
            extra = [PruningStep(len(steps), found_baseline.sparsity, baseline, estimated=found_baseline.estimated)]
        made = prune(job, record, [*from_dense, *extra], at)
        front = {pruned.sparsity: pruned for pruned in made[: len(from_dense)]}
        for step, before in zip(steps[len(from_dense) :], steps[len(from_dense) - 1 :], strict=False):
            (front[step.sparsity],) = prune(job, record, [step], front[before.sparsity].start)
        pruned, in_one_shot = front[found.sparsity], made[-1] if compares else None
        if spec.target is not None:
            number = len(steps) + compares
            pruned = _to_target(job, record, sparsities, pruned, found, at, number)
            front = {pruned.sparsity: pruned}
            if in_one_shot is not None and found_baseline is not None:
                number += len(pruned.checked) - 1
                in_one_shot = _to_target(job, record, sparsities, in_one_shot, found_baseline, at, number)
        _report(job, record, pruned)
    return Starts(pruned, in_one_shot, front, at)


def prune(
    job: JobContext, record: StageRecord, steps: Sequence[PruningStep], start: PrunedStart
) -> list[PrunedNetwork]:
    """The networks pruned to exactly the live weights that each step's sparsity leaves, in the order of ``steps``.

    Args:
        start: the dense network, or the network of the step before.

    Raises:
        TrainingError: a pruning broke down.
    """
    works = [_work(job, step, start) for step in steps]
    results = job.executor.train(record, works, start.context)
    return [_pruned(step, work.key, trained, start) for step, work, trained in zip(steps, works, results, strict=True)]


def _to_target(
    job: JobContext,
    record: StageRecord,
    sparsities: Sparsities,
    pruned: PrunedNetwork,
    found: Found,
    dense: PrunedStart,
    number: int,
) -> PrunedNetwork:
    """``pruned``, or a network that is pruned again because the cost of ``pruned`` misses the job's target.

    Args:
        found: sparsity of ``pruned``.
        number: number of the next trial of the stage.
    """
    target = job.spec.target
    assert target is not None
    made, checked, again = [pruned], list[Checked](), found
    while True:
        last = made[-1]
        cost, correction = sparsities.check(pruned.spec, again, KeyedNetwork(last.network, last.start.key), checked)
        checked.append(cost)
        if correction is None:
            return replace(made[nearest(target, checked)], checked=tuple(checked))
        again, step = correction, PruningStep(number, correction.sparsity, pruned.spec, 0, correction.estimated)
        made += prune(job, record, [step], dense)
        number += 1


def _best_start(job: JobContext, dense: KeyedNetwork, context: Context, sparsities: Sparsities) -> PruneSpec:
    """Compare the pruned starts; return the pruning of the best one.

    Raises:
        TrainingError: all of them broke down.
    """
    spec, recipe = job.spec, recipe_of(job.spec.train)
    starts, section = sparsities.reaching(job.preflight.starts), comparison_of(spec.prune)
    space = job.spaces.starts(list(starts), spec.seed)
    firsts: list[Config] = [{"start": name} for name in starts]

    def make() -> Strategy:
        return make_strategy(section, space, spec.seed, firsts=firsts, field="prune.search")

    def plan(candidate: Candidate) -> PrunedTraining:
        prune = starts[str(candidate.config["start"])]
        span = (candidate.horizon or candidate.epochs) - prune.epochs
        training = Training({}, recipe, span, candidate.seed, until=candidate.epochs - prune.epochs)
        return PrunedTraining(_pruning(job, prune, sparsities.of(prune).sparsity), training)

    with job.stage_log.stage(Stage.PRUNE_SEARCH, trials=len(starts), epochs=section.epochs) as record:
        key = key_of(
            start=dense.key,
            batches=job.precise_batches,
            search=section,
            in_flight=job.executor.slots,
            seed=spec.seed,
            starts=starts,
            sparsity={name: sparsities.of(start).sparsity for name, start in starts.items()},
            recipe=recipe,
        )
        trials = job.executor.search(record, key, make, plan, context)
        best = best_trial(_longest(trials))
        if best is None:
            raise TrainingError(f"all {len(starts)} pruned starts failed; the first: {with_advice(trials[0].outcome)}")
        name = str(best.candidate.config["start"])
        accuracy = best.outcome.metrics["accuracy"]
        record.summary = f"{name} is the best of {len(starts)} starts, {accuracy:.1%} after a short tuning"
        return starts[name]


def _longest(trials: list[Trial]) -> list[Trial]:
    """The trials that trained longest and did not break down: only those can be compared."""
    sound = [trial for trial in trials if trial.outcome.error is None]
    most = max((trial.candidate.epochs for trial in sound), default=0)
    return [trial for trial in sound if trial.candidate.epochs == most]


def _steps(spec: PruneSpec, sparsities: Sequence[float], estimated: float | None) -> list[PruningStep]:
    """The steps of a pruning to ascending sparsities."""
    steps: list[PruningStep] = []
    for number, (sparsity, epochs) in enumerate(zip(sparsities, pruning_epochs(spec, sparsities), strict=True)):
        before = steps[-1].before + steps[-1].spec.epochs if steps and passes_sparsities(spec) else 0
        steps.append(PruningStep(number, sparsity, spec.model_copy(update={"epochs": epochs}), before, estimated))
    return steps


def _pruning(job: JobContext, prune: PruneSpec, sparsity: float) -> Pruning:
    return Pruning(prune, sparsity, prune.recipe or recipe_of(job.spec.train), job.spec.seed)


def _work(job: JobContext, step: PruningStep, start: PrunedStart) -> KeyedWork:
    pruning = _pruning(job, step.spec, step.sparsity)
    key = key_of(start=start.key, batches=job.precise_batches, work=pruning)
    config: Config = {} if job.spec.front is None and job.spec.target is None else {"sparsity": step.sparsity}
    return KeyedWork(key, Task(Candidate(step.number, config, step.spec.epochs, job.spec.seed), pruning))


def _pruned(step: PruningStep, key: str, trained: Trained, start: PrunedStart) -> PrunedNetwork:
    if trained.network is None:
        raise TrainingError(f"pruning by {step.spec.method!r} broke down: {with_advice(trained.outcome)}")
    spec = step.spec.model_copy(update={"epochs": step.before + step.spec.epochs})
    after = PrunedStart(after_pruning(start.context, trained.network), key)
    return PrunedNetwork(spec, step.sparsity, trained, after, step.estimated)


def _report(job: JobContext, record: StageRecord, pruned: PrunedNetwork) -> None:
    """Add the notes of the pruning, and the summary of the stage."""
    if PRUNERS[pruned.spec.method].from_scratch:
        job.stage_log(Note(f"{pruned.spec.method!r} starts from fresh weights; the dense network is for comparison."))
        if (kept := _kept_parameters(job)) is not None:
            job.stage_log(Note(kept))
    for note in pruned.trained.notes:
        job.stage_log(Note(note))
    sparsity = pruned.network.sparsity()
    record.summary = (
        f"{sparsity.live:,} of {sparsity.weights:,} weights are left, "
        f"validation accuracy {pruned.trained.outcome.metrics['accuracy']:.1%} before fine-tuning"
    )


def _kept_parameters(job: JobContext) -> str | None:
    """A sentence about the own network's parameters that no module can draw anew; None if there are none."""
    declared = job.preflight.blueprint.declared
    if declared is None or job.spec.model.network is None:
        return None
    kept = [tensor.path for tensor in declared.document.tensors if tensor.kind == "parameter"]
    if not kept:
        return None
    more = f" and {len(kept) - 3} more" if len(kept) > 3 else ""
    return f"{', '.join(kept[:3])}{more} belong to no module of torch.nn and start from the given values."
