"""Events: numbered without gaps, whoever writes them."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from threading import Barrier

import pytest

from store import events
from store.errors import JobNotFound
from store.records import Lease
from store.session import Database

THREADS = 8


def test_events_are_read_in_order_with_kind_time_and_data(database: Database, lease: Lease) -> None:
    with database.begin() as tx:
        first = events.append(tx, lease, "stage_started", {"stage": "dense", "trials": 1})
        second = events.announce(tx, lease.job_id, "note", {"message": "cancel requested"})

    with database.read() as tx:
        started, note = events.page(tx, lease.job_id)
    assert (first, second) == (started.number, note.number) == (1, 2)
    assert (started.kind, started.data) == ("stage_started", {"stage": "dense", "trials": 1})
    assert started.at.tzinfo is UTC
    assert started.at <= note.at


def test_page_begins_after_the_number_given_and_ends_at_the_limit(database: Database, lease: Lease) -> None:
    with database.begin() as tx:
        for _ in range(5):
            events.append(tx, lease, "note", {})

    with database.read() as tx:
        assert [event.number for event in events.page(tx, lease.job_id, after=1, limit=3)] == [2, 3, 4]
        assert events.page(tx, lease.job_id, after=5) == ()


def test_numbers_are_consecutive_when_threads_write_at_once(database: Database, lease: Lease) -> None:
    barrier = Barrier(THREADS)

    def write(thread: int) -> None:
        barrier.wait()
        for _ in range(5):
            with database.begin() as tx:
                if thread % 2:
                    events.append(tx, lease, "note", {"thread": thread})
                else:
                    events.announce(tx, lease.job_id, "note", {"thread": thread})

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(write, range(THREADS)))

    with database.read() as tx:
        written = events.page(tx, lease.job_id, limit=1000)
    assert [event.number for event in written] == list(range(1, 5 * THREADS + 1))
    assert sorted(event.data["thread"] for event in written) == sorted([*range(THREADS)] * 5)


def test_event_rolled_back_leaves_no_gap(database: Database, lease: Lease) -> None:
    with database.begin() as tx:
        events.append(tx, lease, "note", {})
        tx.rollback()

    with database.begin() as tx:
        assert events.append(tx, lease, "note", {}) == 1


def test_event_of_an_unknown_job_is_refused(database: Database) -> None:
    with database.begin() as tx, pytest.raises(JobNotFound, match="'job_missing'"):
        events.announce(tx, "job_missing", "note", {})
