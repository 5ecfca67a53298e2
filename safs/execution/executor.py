"""The protocol that the pipeline uses to run trainings, wherever they run.

``safs.execution.serial`` implements it in this process, ``workers.on_ray.executor`` on Ray. With the same number of
trials in flight both propose the same candidates, since the conductor orders asks and tells by number, never by time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Protocol, TypeAlias, TypeVar

from safs.data import Split
from safs.errors import legible
from safs.events.kinds import Note, Report, Stage
from safs.execution.runs import Work
from safs.execution.work import Context, Trained
from safs.networks import Network
from safs.search.conductor import Conductor
from safs.trials import Candidate, Outcome, Trial

Result = TypeVar("Result")

Plan: TypeAlias = Callable[[Candidate], Work]
"""Turns a strategy's candidate into the work that judges it."""
Recall: TypeAlias = Callable[[Candidate], Outcome | None]
"""Returns the outcome that an earlier attempt at the job recorded for a candidate; None if it must be run."""
EARLIER_ATTEMPT = "an earlier attempt"
"""Source named in the events of recalled trials."""
Measure: TypeAlias = Callable[[Network, Split, int, str], Result]
"""(network, split, batch size, device) -> result. A module-level function, or a partial of one, so that it can be
pickled."""


@dataclass(frozen=True, slots=True)
class Task:
    """A training or pruning outside of a search, with the candidate whose number and config its events carry."""

    candidate: Candidate
    work: Work


OnDone: TypeAlias = Callable[[Task, Trained], None]


class Executor(Protocol):
    """Runs trainings and reports every event. ``report`` may raise to end the run.

    A training that raises is retried once; a second exception becomes its outcome (see ``failed_outcome``). The loss of
    a worker process is not the training's fault, and is retried more often.
    """

    @property
    def slots(self) -> int:
        """Number of trainings in flight."""

    @property
    def at_once(self) -> int:
        """Number of trainings that run concurrently; at most ``slots``."""

    def search(
        self, stage: Stage, conductor: Conductor, plan: Plan, context: Context, report: Report, recall: Recall
    ) -> list[Trial]:
        """Run the conductor's candidates until it has no more; returns the trials by number.

        Recalled outcomes are not run again. A candidate that continues a trial resumes from that trial's snapshot; if
        the snapshot is lost, it trains from the start to the same outcome.
        """

    def train(
        self, stage: Stage, tasks: Sequence[Task], context: Context, report: Report, on_done: OnDone
    ) -> list[Trained]:
        """Run all tasks and keep their networks; returns the results in the order of ``tasks``.

        Args:
            on_done: called in this thread when a task ends, before its end is reported. The caller saves the result
                there, so that a crash cannot undo a task that was reported as done.
        """

    def measure(
        self, function: Measure[Result], networks: Sequence[Network], split: Split, batch_size: int, report: Report
    ) -> list[Result]:
        """Call ``function`` for each network on ``split``; returns the results in the order of ``networks``."""


def failed_outcome(reason: str) -> Outcome:
    """The outcome of a training whose retry failed too."""
    return Outcome(inf, error=f"the trial's process failed: {legible(reason)}")


def retry_note(what: str, reason: str) -> Note:
    """A warning that ``what`` raised for the first time and is retried."""
    return Note(f"{what[0].upper()}{what[1:]} is run again, once: it raised {legible(reason)}", "warning")
