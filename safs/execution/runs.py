"""The kinds of work that an executor runs, and how a run of each begins."""

from typing import TypeAlias, assert_never

from safs.execution.pruned_training import PrunedTraining, PrunedTrainingRun
from safs.execution.pruning import Pruning, PruningRun
from safs.execution.training import Training, TrainingRun
from safs.execution.work import Context, PrunedSnapshot, Resumable, Run
from safs.training.snapshot import Snapshot

Work: TypeAlias = Training | Pruning | PrunedTraining
"""Description of work that an executor can run."""


def begin(context: Context, work: Work, device: str, resume: Resumable | None = None) -> Run:
    """Start a run of ``work``, from the snapshot ``resume`` if there is one (see ``TrainingRun``)."""
    match work:
        case Training():
            assert not isinstance(resume, PrunedSnapshot)
            return TrainingRun(context, work, device, resume)
        case Pruning():
            return PruningRun(context, work, device)
        case PrunedTraining():
            assert not isinstance(resume, Snapshot)
            return PrunedTrainingRun(context, work, device, resume)
        case _:
            assert_never(work)
