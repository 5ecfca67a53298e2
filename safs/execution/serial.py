"""An executor that runs one training after the other in this process, without Ray and without a server."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch

from safs.data import Split
from safs.errors import SpecError
from safs.events.kinds import EpochDone, Note, Pulse, Report, Stage, TrialDone, TrialStarted
from safs.execution.executor import (
    EARLIER_ATTEMPT,
    Measure,
    OnDone,
    Plan,
    Recall,
    Result,
    Task,
    failed_outcome,
    retry_note,
)
from safs.execution.runs import begin
from safs.execution.snapshot_cache import SnapshotCache
from safs.execution.stacked import StackedRun
from safs.execution.training import Training
from safs.execution.work import Context, Resumable, Run, Trained
from safs.networks import Network
from safs.search.conductor import Conductor
from safs.training.numerics import compute_repeatably
from safs.training.snapshot import Snapshot
from safs.trials import Candidate, Outcome, Trial

log = logging.getLogger(__name__)


class SerialExecutor:
    """Runs one training after the other in this process.

    Args:
        device: device to train on, e.g. ``cpu`` or ``cuda``.
        slots: number of trials that count as in flight. A search proposes the candidates of a Ray run with as many.
        stack: number of trials that are trained as one, where they can be.

    Raises:
        SpecError: this machine does not have ``device``.
    """

    def __init__(self, device: str = "cpu", slots: int = 1, stack: int = 1) -> None:
        check_device(device)
        compute_repeatably(device)
        self._device = device
        self._slots, self._stack = slots, stack

    @property
    def slots(self) -> int:
        return self._slots

    @property
    def at_once(self) -> int:
        return 1

    def search(
        self, stage: Stage, conductor: Conductor, plan: Plan, context: Context, report: Report, recall: Recall
    ) -> list[Trial]:
        trials: list[Trial] = []
        pending: list[tuple[Task, Resumable | None]] = []
        snapshots: SnapshotCache[Resumable] = SnapshotCache()

        def done(candidate: Candidate, outcome: Outcome, snapshot: Resumable | None, source: str | None = None) -> None:
            report(TrialDone(stage, candidate, outcome, source))
            if snapshot is not None:
                snapshots.put(Trial(candidate, outcome), snapshot, snapshot.size_bytes)
            conductor.done(candidate.number, outcome)
            trials.append(Trial(candidate, outcome))

        while True:
            candidate = conductor.next() if len(pending) < self._stack else None
            if candidate is not None and (outcome := recall(candidate)) is not None:
                done(candidate, outcome, None, EARLIER_ATTEMPT)
            elif candidate is not None:
                pending.append((Task(candidate, plan(candidate)), snapshots.take(candidate)))
            elif pending:
                for task, outcome, snapshot in self._trials(stage, pending, context, report):
                    done(task.candidate, outcome, snapshot)
                pending = []
            else:
                return trials

    def train(
        self, stage: Stage, tasks: Sequence[Task], context: Context, report: Report, on_done: OnDone
    ) -> list[Trained]:
        results = []
        for task in tasks:
            try:
                trained = self._with_retry(stage, task, context, report, lambda run: run.trained())
            except _WorkRaised as error:
                trained = Trained(failed_outcome(str(error)), None)
            on_done(task, trained)
            report(TrialDone(stage, task.candidate, trained.outcome))
            results.append(trained)
        return results

    def measure(
        self, function: Measure[Result], networks: Sequence[Network], split: Split, batch_size: int, report: Report
    ) -> list[Result]:
        results = []
        for network in networks:
            report(Pulse())
            results.append(function(network, split, batch_size, self._device))
        return results

    def _trials(
        self, stage: Stage, tasks: Sequence[tuple[Task, Resumable | None]], context: Context, report: Report
    ) -> Iterator[tuple[Task, Outcome, Resumable | None]]:
        """Each task with its outcome and its snapshot. Several trainings are trained as one, if they can be."""
        if len(tasks) > 1 and all(isinstance(task.work, Training) for task, _ in tasks):
            try:
                yield from self._stacked(stage, tasks, context, report)
                return
            except _WorkRaised as error:
                report(retry_note(f"the trials of the stage {stage}, one by one", str(error)))
        for task, resume in tasks:
            try:
                outcome, snapshot = self._with_retry(stage, task, context, report, _outcome_and_snapshot, resume)
            except _WorkRaised as error:
                outcome, snapshot = failed_outcome(str(error)), None
            yield task, outcome, snapshot

    def _stacked(
        self, stage: Stage, tasks: Sequence[tuple[Task, Resumable | None]], context: Context, report: Report
    ) -> list[tuple[Task, Outcome, Resumable | None]]:
        for task, _ in tasks:
            report(TrialStarted(stage, task.candidate))
        with _wrapped_errors():
            works = [task.work for task, _ in tasks if isinstance(task.work, Training)]
            resume = [saved if isinstance(saved, Snapshot) else None for _, saved in tasks]
            run = StackedRun(context, works, self._device, resume)
        while not run.finished:
            with _wrapped_errors():
                done = run.advance(at_least_s=0.0)
            for place, metrics in done:
                report(EpochDone(stage, tasks[place][0].candidate.number, metrics))
        if run.reason is not None:
            report(Note(f"The trials of {stage} are not trained as one: {run.reason}", "warning"))
        return [(task, run.outcome(place), run.snapshot(place)) for place, (task, _) in enumerate(tasks)]

    def _with_retry(
        self,
        stage: Stage,
        task: Task,
        context: Context,
        report: Report,
        result_of: Callable[[Run], Result],
        resume: Resumable | None = None,
    ) -> Result:
        """``result_of`` the task's finished run, which is retried once.

        Raises:
            _WorkRaised: the work raised both times.
        """

        def attempt() -> Result:
            run = self._run(stage, task, context, report, resume)
            with _wrapped_errors():
                return result_of(run)

        try:
            return attempt()
        except _WorkRaised as error:
            report(retry_note(f"trial {task.candidate.number} of the stage {stage}", str(error)))
            return attempt()

    def _run(self, stage: Stage, task: Task, context: Context, report: Report, resume: Resumable | None) -> Run:
        """Run the task to its end. Exceptions of ``report`` pass through as they are."""
        report(TrialStarted(stage, task.candidate))
        with _wrapped_errors():
            run = begin(context, task.work, self._device, resume)
        while not run.finished:
            with _wrapped_errors():
                epochs = run.advance(at_least_s=0.0)
            for metrics in epochs:
                report(EpochDone(stage, task.candidate.number, metrics))
        return run


def check_device(device: str) -> None:
    """Check that tensors can be created on ``device``.

    Raises:
        SpecError: the name is no device, or this machine does not have it.
    """
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise SpecError(
            f"device {device!r} cannot be used: {reason}. Choose 'cpu', or a GPU of this machine."
        ) from error


class _WorkRaised(Exception):
    """An exception of a training or pruning, in one line."""


@contextmanager
def _wrapped_errors() -> Iterator[None]:
    """Logs any exception and raises ``_WorkRaised`` from it."""
    try:
        yield
    except Exception as error:
        log.warning("a trial raised", exc_info=True)
        raise _WorkRaised(f"{type(error).__name__}: {error}") from error


def _outcome_and_snapshot(run: Run) -> tuple[Outcome, Resumable | None]:
    return run.outcome(), run.snapshot()
