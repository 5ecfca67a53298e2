"""The searches of a job, from the pruned network: for operators, for hyperparameters, or for both at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from safs.errors import TrainingError
from safs.events.kinds import Note, Stage
from safs.execution.executor import Plan
from safs.execution.training import Training
from safs.networks import Assignment
from safs.pipeline.pruning_stages import Starts
from safs.pipeline.state import JobContext, PrunedStart, recipe_of
from safs.reuse.cache import Winner
from safs.reuse.keys import key_of
from safs.search import make_strategy
from safs.spec.final import FinalCandidate
from safs.spec.searches import SearchSpec
from safs.spec.training import Recipe
from safs.trials import Candidate, Config, Trial, best_trial

if TYPE_CHECKING:
    from ConfigSpace import ConfigurationSpace


def final_trainings(job: JobContext, starts: Starts) -> dict[FinalCandidate, Training]:
    """Run the searches that the final candidates need; return the training of each candidate.

    The one-shot baseline trains longer than the others by the epochs of the chosen pruning, so that all cost the same.
    """
    start = starts.chosen.start
    spec, default, own = job.spec, recipe_of(job.spec.train), dict[str, str]()
    wanted = set(spec.final.candidates)
    epochs, seed = spec.final.epochs, spec.seed
    trainings = {FinalCandidate.DEFAULT: Training(own, default, epochs, seed)}
    if starts.one_shot is not None:
        trainings[FinalCandidate.ONE_SHOT] = Training(own, default, epochs + starts.chosen.spec.epochs, seed)
    if wanted & {FinalCandidate.ACTIVATIONS, FinalCandidate.SAFS}:
        operators = _search_activations(job, start)
        trainings[FinalCandidate.ACTIVATIONS] = Training(operators, default, epochs, seed)
    if FinalCandidate.SAFS in wanted:
        recipe = _tune(job, Stage.TUNE, operators, start)
        trainings[FinalCandidate.SAFS] = Training(operators, recipe, epochs, seed, learnable=True)
    if FinalCandidate.HYPERPARAMETERS in wanted:
        recipe = _tune(job, Stage.TUNE_ALONE, own, start)
        trainings[FinalCandidate.HYPERPARAMETERS] = Training(own, recipe, epochs, seed, learnable=True)
    if FinalCandidate.JOINT in wanted:
        best = _search_jointly(job, start)
        trainings[FinalCandidate.JOINT] = Training(best.assignment, best.recipe, epochs, seed, learnable=True)
    start_of_acon = spec.activations.acon_start
    return {
        name: replace(trainings[name], acon_start=start_of_acon) for name in spec.final.candidates if name in trainings
    }


@dataclass(frozen=True, slots=True)
class _Search:
    """One search: its space, and how a point of the space becomes a training."""

    stage: Stage
    section: SearchSpec
    space: "ConfigurationSpace"
    plan: Plan
    depends: Mapping[str, Any]
    """Everything that its trials depend on beside the pruned network and ``section``; a part of the cache key."""


def _search_activations(job: JobContext, start: PrunedStart) -> Assignment:
    """Run stage 1: each trial starts from the pruned weights, with the dense recipe and alpha = beta = 1."""
    preflight, section = job.preflight, job.spec.activations
    space = job.spaces.activations(preflight.own, preflight.operators, job.spec.seed)
    recipe = recipe_of(job.spec.train)

    def plan(candidate: Candidate) -> Training:
        return _trial(job, candidate, _assignment(job, candidate), recipe)

    depends = {"groups": preflight.groups, "operators": preflight.operators, "recipe": recipe}
    return plan(_best_of(job, _Search(Stage.ACTIVATIONS, section, space, plan, depends), start).candidate).assignment


def _tune(job: JobContext, stage: Stage, operators: Assignment, start: PrunedStart) -> Recipe:
    """Run stage 2: search the fine-tuning recipe for ``operators``, with learnable alpha and beta."""
    section, train = job.spec.tune, job.spec.train
    space = job.spaces.fine_tuning(train, job.spec.seed)

    def plan(candidate: Candidate) -> Training:
        return _trial(job, candidate, operators, job.spaces.recipe_from(candidate.config, train), learnable=True)

    depends = {"assignment": operators, "train": train}
    return plan(_best_of(job, _Search(stage, section, space, plan, depends), start).candidate).recipe


def _search_jointly(job: JobContext, start: PrunedStart) -> Training:
    """Search operators and hyperparameters in one space, with learnable alpha and beta."""
    preflight, section, train = job.preflight, job.spec.joint, job.spec.train
    space = job.spaces.joint(preflight.own, preflight.operators, train, job.spec.seed)

    def plan(candidate: Candidate) -> Training:
        recipe = job.spaces.recipe_from(candidate.config, train)
        return _trial(job, candidate, _assignment(job, candidate), recipe, learnable=True)

    depends = {"groups": preflight.groups, "operators": preflight.operators, "train": train}
    return plan(_best_of(job, _Search(Stage.JOINT, section, space, plan, depends), start).candidate)


def _trial(
    job: JobContext, candidate: Candidate, assignment: Assignment, recipe: Recipe, *, learnable: bool = False
) -> Training:
    span = candidate.horizon or candidate.epochs
    return Training(
        assignment,
        recipe,
        span,
        candidate.seed,
        learnable,
        until=candidate.epochs,
        leaves=True,
        acon_start=job.spec.activations.acon_start,
    )


def _assignment(job: JobContext, candidate: Candidate) -> Assignment:
    operators = job.spaces.operators_from(candidate.config)
    return {site: operators[group] for group, sites in job.preflight.groups.items() for site in sites}


def _best_of(job: JobContext, search: _Search, start: PrunedStart) -> Trial:
    """Run the search; return its best trial.

    Raises:
        TrainingError: all trials broke down.
    """
    stage, section, seed = search.stage, search.section, job.spec.seed
    with job.stage_log.stage(stage, trials=section.trials, epochs=section.epochs) as record:
        firsts = _firsts(job, search)
        key = key_of(
            start=start.key,
            batches=job.precise_batches,
            search=section,
            in_flight=job.executor.slots,
            seed=seed,
            firsts=firsts,
            depends={**search.depends, "acon_start": job.spec.activations.acon_start},
        )

        def make() -> Any:
            return make_strategy(section, search.space, seed, firsts=firsts, field=stage.section)

        trials = job.executor.search(record, key, make, search.plan, start.context)
        best = best_trial(trials)
        if best is None:
            reason = trials[0].outcome.error if trials else "no trial was proposed"
            raise TrainingError(f"all {len(trials)} trials of stage {stage} failed; the first: {reason}")
        record.summary = (
            f"best validation accuracy {best.outcome.metrics['accuracy']:.1%} in trial {best.candidate.number + 1} "
            f"of {len(trials)}"
        )
        return best


def _firsts(job: JobContext, search: _Search) -> list[Config]:
    """The points that the search tries first: winners of earlier jobs, then the portfolio."""
    winners = job.cache.winners(job.preflight.blueprint.identity, job.spec.warm_start) if job.spec.warm_start else ()
    warm: list[Config] = []
    for winner in winners:
        operators = _by_group(job.preflight.groups, winner)
        config = job.spaces.config_from(search.space, job.spec.train, operators, winner.recipe)
        if config is not None and config not in warm:
            warm.append(config)
            job.stage_log(Note(f"Warm start: trial {len(warm)} of {search.stage} is what won job {winner.job}."))
    if job.spec.warm_start and not warm:
        job.stage_log(Note(f"Warm start: no earlier job has a winner that {search.stage} can try."))
    portfolio = job.spaces.firsts(search.space, job.spec.train) if search.section.portfolio else ()
    return [*warm, *(config for config in portfolio if config not in warm)]


def _by_group(groups: Mapping[str, Sequence[str]], winner: Winner) -> dict[str, str]:
    """Group -> the winner's operator, for the groups in which all sites have the same one."""
    operators = {group: {winner.assignment.get(site) for site in sites} for group, sites in groups.items()}
    return {
        group: name for group, names in operators.items() if len(names) == 1 and (name := next(iter(names))) is not None
    }
