"""Where trainings run: the protocol that the pipeline speaks, and the plain-process form of it.

The other form is Ray's (``workers.on_ray.executor``). With the same number in flight both propose the same candidates,
since the conductor orders asks and tells by number, never by time.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Protocol, TypeAlias, TypeVar

from safs.data import Split
from safs.errors import legible
from safs.events.kinds import Note, Report, Stage
from safs.execution.pruning import Work
from safs.execution.training import Training
from safs.execution.work import Context, Trained
from safs.networks import Network
from safs.search.conductor import Conductor
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


def broken_down(reason: str) -> Outcome:
    """The outcome of a training whose process failed for good."""
    return Outcome(inf, error=f"the trial's process failed: {legible(reason)}")


def raised_once(what: str, reason: str) -> Note:
    """Tells that ``what`` has raised for the first time."""
    return Note(f"{what[0].upper()}{what[1:]} is run again, once: it raised {legible(reason)}", "warning")
