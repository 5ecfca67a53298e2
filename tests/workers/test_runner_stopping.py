"""A run cannot succeed if its database stops answering or it is stopped before its last events are stored."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

import pytest

from safs.events.kinds import Note
from safs.events.plan import plan_stages
from safs.events.progress import Tracker
from safs.spec.job import JobSpec
from store import queue
from store.errors import DatabaseUnavailable, LeaseLost
from store.records import Lease
from store.session import Database, Transaction
from tests.pipeline.jobs import TINY
from tests.waiting import wait_until
from workers.errors import ShuttingDown
from workers.heartbeat import Heartbeat
from workers.recorder import Recorder


def claim(database: Database) -> Lease:
    """Submit and claim a job; return its lease."""
    with database.begin() as tx:
        queue.submit(tx, TINY)
        claimed = queue.claim(tx, "runner-1", 3600)
    assert claimed is not None
    return claimed.lease


class Away(Database):
    """A database that is away.

    Args:
        asked: set at the first transaction.
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
    """A database that does not answer until ``answers`` is set, like a stopped server."""

    def __init__(self, url: str, answers: Event) -> None:
        super().__init__(url)
        self._answers = answers

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        self._answers.wait()
        raise DatabaseUnavailable("it was stopped")
        yield


def test_a_lease_counts_as_lost_once_the_database_has_been_silent_for_its_length(sqlite_database: Database) -> None:
    answers = Event()
    lease, silent = claim(sqlite_database), Silent(str(sqlite_database.url), answers)

    with Heartbeat(silent, lease, lease_s=0.2, every_s=0.01) as heartbeat:
        try:
            with pytest.raises(LeaseLost, match="has not answered for longer than the lease"):
                wait_until(heartbeat.check)
        finally:
            answers.set()


def test_a_stopped_runner_whose_last_events_are_not_stored_does_not_end_its_run_well(
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
