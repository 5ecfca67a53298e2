"""What a run may not end well without, where it is told to stop or its database goes away at the worst moment."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

import pytest

from safs.events.kinds import Note
from safs.events.progress import Tracker, plan_stages
from safs.spec.job import JobSpec
from store import queue
from store.errors import DatabaseUnavailable, LeaseLost
from store.records import Lease
from store.session import Database, Transaction
from tests.cli.conftest import wait_until
from tests.pipeline.jobs import TINY
from workers.errors import ShuttingDown
from workers.heartbeat import Heartbeat
from workers.recorder import Recorder


def claim(database: Database) -> Lease:
    """The lease of a new job."""
    with database.begin() as tx:
        queue.submit(tx, TINY)
        claimed = queue.claim(tx, "runner-1", 60)
    assert claimed is not None
    return claimed.lease


class Away(Database):
    """A database that does not answer until it is told to.

    Args:
        asked: set once somebody has asked in vain.
    """

    def __init__(self, url: str, asked: Event) -> None:
        super().__init__(url)
        self._asked = asked

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        self._asked.set()
        raise DatabaseUnavailable("it restarts")
        yield


class Silent(Database):
    """A database that takes a question and says nothing until it is told to, as a server that is stopped."""

    def __init__(self, url: str, answers: Event) -> None:
        super().__init__(url)
        self._answers = answers

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        self._answers.wait()
        raise DatabaseUnavailable("it was stopped")
        yield


def test_a_lease_counts_as_lost_once_the_database_has_said_nothing_for_so_long(sqlite_database: Database) -> None:
    answers = Event()
    lease, silent = claim(sqlite_database), Silent(str(sqlite_database.url), answers)

    with Heartbeat(silent, lease, lease_s=0.2, every_s=0.01) as heartbeat:

        def ended() -> bool:
            heartbeat.check()
            return False

        try:
            with pytest.raises(LeaseLost, match="has said nothing for longer than the lease"):
                wait_until(ended, 10)
        finally:
            answers.set()


def test_a_block_whose_last_events_could_not_be_written_before_the_runner_had_to_stop_does_not_end_well(
    sqlite_database: Database,
) -> None:
    lease = claim(sqlite_database)
    asked = Event()

    def check() -> None:
        if asked.is_set():
            raise ShuttingDown("the runner was asked to stop")

    tracker = Tracker(plan_stages(JobSpec.model_validate(TINY)))
    with (
        pytest.raises(ShuttingDown),
        Recorder(Away(str(sqlite_database.url), asked), lease, tracker, check) as recorder,
    ):
        recorder(Note("the last of the job"))
