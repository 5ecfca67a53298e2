"""The final trainings of a job, each from its own pruned network."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from safs.events.kinds import Note, Stage
from safs.events.stage_log import StageRecord
from safs.execution.executor import Task
from safs.execution.training import Training
from safs.execution.work import Trained
from safs.pipeline.finalists import Finalist, best_finalist, finalists_from, numbered_work
from safs.pipeline.pruning_stages import PrunedNetwork, Starts
from safs.pipeline.state import JobContext
from safs.reuse.cached_executor import KeyedWork
from safs.reuse.keys import key_of
from safs.spec.final import FinalCandidate


def train_finalists(job: JobContext, trainings: Mapping[FinalCandidate, Training], starts: Starts) -> list[Finalist]:
    """The finalists, each trained ``final.repeats`` times, with seeds that follow each other."""
    final, seeds = job.spec.final, with_seeds(job, trainings)
    with job.stage_log.stage(Stage.FINAL, trials=len(seeds) * final.repeats, epochs=final.epochs) as record:
        finalists = finalists_from(seeds, _trained(job, record, numbered_work(seeds), starts))
        winner = best_finalist(finalists)
        record.summary = f"{winner.name} has the best validation accuracy, {winner.accuracy:.1%}"
    warn_of_failures(job, finalists)
    _warn_of_chance(job, finalists)
    return finalists


def with_seeds(job: JobContext, trainings: Mapping[FinalCandidate, Training]) -> dict[FinalCandidate, list[Training]]:
    """Each training ``final.repeats`` times, with seeds that follow each other."""
    return {
        name: [replace(training, seed=training.seed + repeat) for repeat in range(job.spec.final.repeats)]
        for name, training in trainings.items()
    }


def train_from(job: JobContext, record: StageRecord, pruned: PrunedNetwork, tasks: Sequence[Task]) -> list[Trained]:
    """The results of final trainings from ``pruned``, in the order of ``tasks``."""
    works = [KeyedWork(key_of(start=pruned.start.key, batches=job.batches, work=task.work), task) for task in tasks]
    data = replace(pruned.start.context.data, precision="float32")
    return job.executor.train(record, works, replace(pruned.start.context, data=data))


def warn_of_failures(job: JobContext, finalists: Sequence[Finalist], where: str = "") -> None:
    """Warn of each finalist that broke down."""
    for finalist in finalists:
        if finalist.error is not None:
            message = f"{finalist.name}{where} broke down and cannot be the result: {finalist.error}"
            job.stage_log(Note(message, "warning"))


def _trained(job: JobContext, record: StageRecord, tasks: Sequence[Task], starts: Starts) -> list[Trained]:
    """The results of ``tasks``, in their order, each from its own pruned network."""
    results: dict[int, Trained] = {}
    for pruned in (starts.chosen, starts.one_shot):
        own = [task for task in tasks if pruned is _start_of(task, starts)]
        if pruned is not None and own:
            trained = train_from(job, record, pruned, own)
            results |= {task.candidate.number: each for task, each in zip(own, trained, strict=True)}
    return [results[task.candidate.number] for task in tasks]


def _start_of(task: Task, starts: Starts) -> PrunedNetwork | None:
    return starts.one_shot if task.candidate.config["candidate"] == FinalCandidate.ONE_SHOT else starts.chosen


def _warn_of_chance(job: JobContext, finalists: Sequence[Finalist]) -> None:
    """Warn if the default protocol learned nothing, as happens when extreme sparsity starves small layers."""
    default = next(finalist for finalist in finalists if finalist.name == FinalCandidate.DEFAULT)
    chance = 1.0 / job.splits.classes
    if default.error is None and default.accuracy < 1.5 * chance:
        advice = (
            " The distribution 'uniform' leaves small layers too few weights: prune.distribution 'global' keeps more."
            if job.spec.prune.distribution == "uniform"
            else " Try a lower sparsity or another prune.distribution."
        )
        message = (
            f"The default protocol ends near chance ({default.accuracy:.1%}; guessing gives {chance:.1%})." + advice
        )
        job.stage_log(Note(message, "warning"))
