"""Trainings one after the other in this process: no Ray, no server."""

import logging
from collections.abc import Callable, Sequence

import torch

from safs.data import Split
from safs.errors import SpecError
from safs.events.kinds import EpochDone, Pulse, Report, Stage, TrialDone, TrialStarted
from safs.execution.executor import (
    EARLIER_ATTEMPT,
    Done,
    Found,
    Look,
    Made,
    NamedWork,
    Plan,
    Recall,
    broken_down,
    raised_once,
)
from safs.execution.pruning import begin
from safs.execution.snapshot_cache import SnapshotCache
from safs.execution.work import Context, Run, Trained
from safs.networks import Network
from safs.search.conductor import Conductor
from safs.training.snapshot import Snapshot
from safs.trials import Outcome, Trial

log = logging.getLogger(__name__)


class SerialExecutor:
    """One training after the other in this process: no Ray, no server.

    Args:
        slots: how many trials the search is to pretend are in flight, so that its candidates are those of
            a Ray run with as many.

    Raises:
        SpecError: this machine does not have ``device``.
    """

    def __init__(self, device: str = "cpu", slots: int = 1) -> None:
        check_device(device)
        self._device = device
        self._slots = slots

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
        snapshots: SnapshotCache[Snapshot] = SnapshotCache()
        while (candidate := conductor.next()) is not None:
            if (outcome := recall(candidate)) is not None:
                report(TrialDone(stage, candidate, outcome, EARLIER_ATTEMPT))
            else:
                named, resume = NamedWork(candidate, plan(candidate)), snapshots.take(candidate)
                try:
                    outcome, snapshot = self._twice(stage, named, context, report, _judged, resume)
                except _Broken as broken:
                    outcome, snapshot = broken_down(str(broken)), None
                report(TrialDone(stage, candidate, outcome))
                if snapshot is not None:
                    snapshots.put(Trial(candidate, outcome), snapshot, snapshot.size_bytes)
            conductor.done(candidate.number, outcome)
            trials.append(Trial(candidate, outcome))
        return trials

    def train(
        self, stage: Stage, works: Sequence[NamedWork], context: Context, report: Report, done: Done
    ) -> list[Trained]:
        results = []
        for named in works:
            try:
                trained = self._twice(stage, named, context, report, lambda run: run.trained())
            except _Broken as broken:
                trained = Trained(broken_down(str(broken)), None)
            done(named, trained)
            report(TrialDone(stage, named.candidate, trained.outcome))
            results.append(trained)
        return results

    def examine(
        self, look: Look[Found], networks: Sequence[Network], split: Split, batch_size: int, report: Report
    ) -> list[Found]:
        found = []
        for network in networks:
            report(Pulse())
            found.append(look(network, split, batch_size, self._device))
        return found

    def _twice(
        self,
        stage: Stage,
        named: NamedWork,
        context: Context,
        report: Report,
        end: Callable[[Run], Made],
        resume: Snapshot | None = None,
    ) -> Made:
        """What ``end`` makes of the work, done; tried again once.

        Raises:
            _Broken: the work raised both times.
        """

        def once() -> Made:
            run = self._run(stage, named, context, report, resume)
            return _unbroken(lambda: end(run))

        try:
            return once()
        except _Broken as broken:
            report(raised_once(f"trial {named.candidate.number} of the stage {stage}", str(broken)))
            return once()

    def _run(self, stage: Stage, named: NamedWork, context: Context, report: Report, resume: Snapshot | None) -> Run:
        """The work, done."""
        report(TrialStarted(stage, named.candidate))
        run = _unbroken(lambda: begin(context, named.work, self._device, resume))
        while not run.finished:
            for metrics in _unbroken(lambda: run.advance(at_least_s=0.0)):
                report(EpochDone(stage, named.candidate.number, metrics))
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


class _Broken(Exception):
    """What a training raised, in one line."""


def _unbroken(work: Callable[[], Made]) -> Made:
    try:
        return work()
    except Exception as error:
        log.warning("a trial raised", exc_info=True)
        raise _Broken(f"{type(error).__name__}: {error}") from error


def _judged(run: Run) -> tuple[Outcome, Snapshot | None]:
    return run.outcome(), run.snapshot()
