"""Where trainings run: the protocol that the pipeline speaks, and the plain-process form of it.

The other form is Ray's (``workers.ray_executor``). With the same number in flight both propose the same candidates,
since the conductor orders asks and tells by number, never by time.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Protocol, TypeAlias, TypeVar

from safs.data import Split
from safs.errors import legible
from safs.events import EpochDone, Note, Pulse, Report, Stage, TrialDone, TrialStarted
from safs.networks import Network
from safs.prunings import Work, begin
from safs.search.conductor import Conductor
from safs.shelf import Shelf
from safs.training.snapshot import Snapshot
from safs.trainings import Context, Run, Trained, Training
from safs.trials import Candidate, Outcome, Trial

log = logging.getLogger(__name__)

Plan = Callable[[Candidate], Training]
"""Turns what a strategy proposes into the training that judges it."""
Recall: TypeAlias = Callable[[Candidate], Outcome | None]
"""What an earlier attempt at the job found for this candidate; None if it has to be run."""
EARLIER_ATTEMPT = "an earlier attempt"


Found = TypeVar("Found")
Made = TypeVar("Made")
Look: TypeAlias = Callable[[Network, Split, int, str], Found]
"""(network, split, batch size, device) -> what is found: a function of a module, so that it travels by name."""


@dataclass(frozen=True, slots=True)
class NamedWork:
    """A training or pruning that is no trial of a search, under the number and the config that events show."""

    candidate: Candidate
    work: Work


Done: TypeAlias = Callable[[NamedWork, Trained], None]


class Executor(Protocol):
    """Runs trainings somewhere. Everything that happens is reported; ``report`` may raise to end the run.

    What a training raises is run again once; what it raises then is its outcome (see ``broken_down``). A process that
    is lost is no fault of the training: it is run again more often.
    """

    @property
    def slots(self) -> int:
        """How many trainings are in flight."""

    @property
    def at_once(self) -> int:
        """How many of them really run at once."""

    def search(
        self, stage: Stage, conductor: Conductor, plan: Plan, context: Context, report: Report, recall: Recall
    ) -> list[Trial]:
        """Judges the conductor's candidates until it has no more; trials in the order of their numbers.

        What ``recall`` knows is not run again. A candidate that continues a trial goes on from where that one ended,
        or, if that is not to be had, trains from the start to the same outcome.
        """

    def train(
        self, stage: Stage, works: Sequence[NamedWork], context: Context, report: Report, done: Done
    ) -> list[Trained]:
        """Does all of it and keeps the networks; results in the order given.

        Args:
            done: called in this thread as each ends and before that is reported, so that what is finished can be
                kept while others run, and nothing is told to be finished that a crash could still undo.
        """

    def examine(
        self, look: Look[Found], networks: Sequence[Network], split: Split, batch_size: int, report: Report
    ) -> list[Found]:
        """Looks at each of the networks on ``split``, in the order given."""


class SerialExecutor:
    """One training after the other in this process: no Ray, no server.

    Args:
        slots: how many trials the search is to pretend are in flight, so that its candidates are those of
            a Ray run with as many.
    """

    def __init__(self, device: str = "cpu", slots: int = 1) -> None:
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
        shelf: Shelf[Snapshot] = Shelf()
        while (candidate := conductor.next()) is not None:
            if (outcome := recall(candidate)) is not None:
                report(TrialDone(stage, candidate, outcome, EARLIER_ATTEMPT))
            else:
                named, resume = NamedWork(candidate, plan(candidate)), shelf.take(candidate)
                try:
                    outcome, snapshot = self._twice(stage, named, context, report, _judged, resume)
                except _Broken as broken:
                    outcome, snapshot = broken_down(str(broken)), None
                report(TrialDone(stage, candidate, outcome))
                if snapshot is not None:
                    shelf.put(Trial(candidate, outcome), snapshot, snapshot.size_bytes)
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


def broken_down(reason: str) -> Outcome:
    """The outcome of a training whose process failed for good."""
    return Outcome(inf, error=f"the trial's process failed: {legible(reason)}")


def raised_once(what: str, reason: str) -> Note:
    """Tells that ``what`` has raised for the first time."""
    return Note(f"{what[0].upper()}{what[1:]} is run again, once: it raised {legible(reason)}", "warning")
