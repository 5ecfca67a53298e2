"""What a run may not end well without, where it is told to stop or its database goes away at the worst moment."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

import pytest

from safs.events import Note
from safs.progress import Tracker, plan_stages
from safs.spec import JobSpec
from store import queue
from store.errors import DatabaseUnavailable
from store.session import Database, Transaction
from tests.pipeline.jobs import TINY
from workers.errors import ShuttingDown
from workers.recorder import Recorder


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


def test_a_block_whose_last_events_could_not_be_written_before_the_runner_had_to_stop_does_not_end_well(
    sqlite_database: Database,
) -> None:
    with sqlite_database.begin() as tx:
        queue.submit(tx, TINY)
        claim = queue.claim(tx, "runner-1", 60)
    assert claim is not None
    asked = Event()

    def check() -> None:
        if asked.is_set():
            raise ShuttingDown("the runner was asked to stop")

    tracker = Tracker(plan_stages(JobSpec.model_validate(TINY)))
    with (
        pytest.raises(ShuttingDown),
        Recorder(Away(str(sqlite_database.url), asked), claim.lease, tracker, check) as recorder,
    ):
        recorder(Note("the last of the job"))
