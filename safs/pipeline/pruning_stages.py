"""The pruning of a job: the search for a pruned start, the pruning itself, and the one-shot baseline."""

from dataclasses import dataclass
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
from safs.pruning.pruners import PRUNERS
from safs.reuse.cached_executor import KeyedWork
from safs.reuse.keys import key_of
from safs.search import Strategy, make_strategy
from safs.spec.final import FinalCandidate
from safs.spec.pruning import PruneSpec
from safs.spec.starts import comparison_of, one_shot
from safs.trials import Candidate, Config, Trial, best_trial


@dataclass(frozen=True, slots=True)
class PrunedNetwork:
    """A pruned network, and the context and cache key of the trainings that start from it."""

    spec: PruneSpec
    """The pruning that made the network."""
    network: Network
    start: PrunedStart


@dataclass(frozen=True, slots=True)
class Starts:
    """The pruned networks of a job."""

    chosen: PrunedNetwork
    """The network that the searches and the final trainings start from."""
    one_shot: PrunedNetwork | None
    """The network pruned in one shot, for the baseline; None if the job does not compare, or ``chosen`` is that one."""


def pruning_of(job: JobContext, candidate: FinalCandidate, starts: Starts) -> dict[str, Any]:
    """The pruning that a final candidate started from, as a section of a spec."""
    spec = one_shot(job.spec.prune) if candidate == FinalCandidate.ONE_SHOT else starts.chosen.spec
    return spec.model_dump(mode="json", exclude={"search"})


def pruned_starts(job: JobContext, dense: KeyedNetwork, context: Context) -> Starts:
    """Choose how to prune, prune, and prune once more in one shot if the final comparison needs it.

    Args:
        context: trainings from the dense network.
    """
    chosen = _best_start(job, dense, context) if job.preflight.starts else job.spec.prune
    baseline = one_shot(job.spec.prune)
    specs = [chosen.model_copy(update={"search": None})]
    if FinalCandidate.ONE_SHOT in job.spec.final.candidates and specs[0] != baseline:
        specs.append(baseline)
    pruned = _prune(job, specs, dense, context)
    return Starts(pruned[0], pruned[1] if len(pruned) > 1 else None)


def _best_start(job: JobContext, dense: KeyedNetwork, context: Context) -> PruneSpec:
    """Compare the pruned starts; return the pruning of the best one.

    Raises:
        TrainingError: all of them broke down.
    """
    spec, recipe = job.spec, recipe_of(job.spec.train)
    starts, section = job.preflight.starts, comparison_of(spec.prune)
    space = job.spaces.starts(list(starts), spec.seed)
    firsts: list[Config] = [{"start": name} for name in starts]

    def make() -> Strategy:
        return make_strategy(section, space, spec.seed, firsts=firsts, field="prune.search")

    def plan(candidate: Candidate) -> PrunedTraining:
        prune = starts[str(candidate.config["start"])]
        span = (candidate.horizon or candidate.epochs) - prune.epochs
        training = Training({}, recipe, span, candidate.seed, until=candidate.epochs - prune.epochs)
        return PrunedTraining(_pruning(job, prune), training)

    with job.stage_log.stage(Stage.PRUNE_SEARCH, trials=len(starts), epochs=section.epochs) as record:
        key = key_of(
            start=dense.key,
            batches=job.precise_batches,
            search=section,
            in_flight=job.executor.slots,
            seed=spec.seed,
            starts=starts,
            sparsity=spec.sparsity,
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


def _pruning(job: JobContext, prune: PruneSpec) -> Pruning:
    return Pruning(prune, job.spec.sparsity, prune.recipe or recipe_of(job.spec.train), job.spec.seed)


def _prune(job: JobContext, specs: list[PruneSpec], dense: KeyedNetwork, context: Context) -> list[PrunedNetwork]:
    """The networks pruned to exactly the live weights that the job's sparsity leaves, one for each of ``specs``."""
    chosen = specs[0]
    with job.stage_log.stage(Stage.PRUNE, trials=len(specs), epochs=chosen.epochs) as record:
        works = [_work(job, number, spec, dense) for number, spec in enumerate(specs)]
        results = job.executor.train(record, works, context)
        pruned = [
            _pruned(spec, work.key, trained, context) for spec, work, trained in zip(specs, works, results, strict=True)
        ]
        _report(job, record, pruned[0], results[0])
        return pruned


def _work(job: JobContext, number: int, prune: PruneSpec, dense: KeyedNetwork) -> KeyedWork:
    pruning = _pruning(job, prune)
    key = key_of(start=dense.key, batches=job.precise_batches, work=pruning)
    return KeyedWork(key, Task(Candidate(number, {}, prune.epochs, job.spec.seed), pruning))


def _pruned(prune: PruneSpec, key: str, trained: Trained, context: Context) -> PrunedNetwork:
    if trained.network is None:
        raise TrainingError(f"pruning by {prune.method!r} broke down: {with_advice(trained.outcome)}")
    return PrunedNetwork(prune, trained.network, PrunedStart(after_pruning(context, trained.network), key))


def _report(job: JobContext, record: StageRecord, pruned: PrunedNetwork, trained: Trained) -> None:
    """Add the notes of the pruning, and the summary of the stage."""
    if PRUNERS[pruned.spec.method].from_scratch:
        job.stage_log(Note(f"{pruned.spec.method!r} starts from fresh weights; the dense network is for comparison."))
        if (kept := _kept_parameters(job)) is not None:
            job.stage_log(Note(kept))
    for note in trained.notes:
        job.stage_log(Note(note))
    sparsity = pruned.network.sparsity()
    record.summary = (
        f"{sparsity.live:,} of {sparsity.weights:,} weights are left, "
        f"validation accuracy {trained.outcome.metrics['accuracy']:.1%} before fine-tuning"
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
