"""Statistics for operators, and their cost, which does not grow with the number of rows."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import event, text

from store import attempts, counters, queue, statistics, trials
from store.artifacts import stored_files
from store.records import JobState, Lease, StoredArtifact, TrialOutcome
from store.session import Database


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """The SQL statements sent while the block runs."""
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        sent.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    yield sent
    event.remove(database.engine, "before_cursor_execute", note)


def run_trial(database: Database, lease: Lease, number: int, seconds: float, recalled: str | None = None) -> None:
    outcome = TrialOutcome(loss=0.1, seconds=seconds)
    with database.begin() as tx:
        config = {"config": {}, "epochs": 1, "seed": 0}
        trials.record_done(tx, lease, "tune", number, **config, outcome=outcome, recalled=recalled)


def claim(database: Database) -> Lease:
    with database.begin() as tx:
        claimed = queue.claim(tx, "runner-1", lease_s=60)
    assert claimed is not None
    return claimed.lease


def read(database: Database) -> statistics.Statistics:
    with database.read() as tx:
        return statistics.read(tx)


def test_an_empty_service_has_all_states_and_no_work(database: Database) -> None:
    found = read(database)

    assert found.jobs == dict.fromkeys(JobState, 0)
    assert (found.oldest_queued_s, found.late_leases, found.lease_losses) == (0.0, 0, 0)
    assert found.totals == dict.fromkeys(statistics.TOTALS, 0.0)
    assert (found.artifacts, found.artifacts_bytes) == (0, 0)


def test_trials_of_jobs_that_run_that_have_ended_and_that_are_gone_add_up(database: Database) -> None:
    with database.begin() as tx:
        for _ in range(3):
            queue.submit(tx, {})
        counters.add(tx, {"trial_count": 10, "trial_seconds": 100, "runners_lost": 3, "lease_losses": 2})
        counters.add(tx, {"jobs_succeeded": 4, "jobs_failed": 2})
    ended = claim(database)
    run_trial(database, ended, 0, seconds=1.0)
    with database.begin() as tx:
        attempts.note_lost_worker(tx, ended, trials_repeated=2, seconds_lost=0.5)
        queue.finish(tx, ended, JobState.SUCCEEDED)
    running = claim(database)
    run_trial(database, running, 0, seconds=2.0)
    run_trial(database, running, 1, seconds=99.0, recalled=ended.job_id)
    with database.begin() as tx:
        attempts.pin_gpus(tx, running, 0.25)
        trials.record_started(tx, running, "tune", 2, config={}, epochs=1, seed=0)

    found = read(database)

    assert (found.jobs[JobState.QUEUED], found.jobs[JobState.RUNNING], found.jobs[JobState.SUCCEEDED]) == (1, 1, 1)
    assert found.totals == {
        "trial_count": 12,
        "trial_seconds": 103.0,
        "gpu_seconds": 0.5,
        "runners_lost": 3,
        "workers_lost": 1,
        "trials_repeated": 2,
        "seconds_lost": 0.5,
    }
    assert found.lease_losses == 2
    assert found.ended == {JobState.SUCCEEDED: 5, JobState.FAILED: 2, JobState.CANCELLED: 0}


def test_the_totals_stay_when_a_job_is_handed_back(database: Database) -> None:
    with database.begin() as tx:
        queue.submit(tx, {})
    lease = claim(database)
    run_trial(database, lease, 0, seconds=2.0)
    with database.begin() as tx:
        queue.release(tx, lease)

    assert read(database).totals["trial_seconds"] == 2.0


def test_a_late_lease_and_the_wait_of_the_job_that_is_next_are_told(database: Database) -> None:
    with database.begin() as tx:
        queue.submit(tx, {})
        claimed = queue.claim(tx, "silent", lease_s=-1.0)
        waiting = queue.submit(tx, {}).id
        queue.submit(tx, {})
        tx.execute(text("UPDATE jobs SET created_at = '2026-01-01T00:00:00.000Z' WHERE id = :id"), {"id": waiting})

    found = read(database)

    assert claimed is not None
    assert found.late_leases == 1
    assert found.oldest_queued_s > 86_400


def test_files_are_counted_with_their_size(database: Database, lease: Lease) -> None:
    with database.begin() as tx:
        for name, size_bytes in (("a", 3), ("b", 2**40)):
            stored_files.attach(tx, lease, name, StoredArtifact(name * 64, size_bytes), "text/plain")

    found = read(database)

    assert (found.artifacts, found.artifacts_bytes) == (2, 2**40 + 3)


@pytest.mark.parametrize("jobs", [1, 20])
def test_the_number_of_statements_does_not_depend_on_how_much_there_is(database: Database, jobs: int) -> None:
    with database.begin() as tx:
        for _ in range(jobs):
            queue.submit(tx, {})
    for number in range(jobs):
        run_trial(database, claim(database), number, seconds=1.0)

    with statements(database) as sent:
        read(database)

    assert sum(statement.startswith("SELECT") for statement in sent) == 6
