"""Leases: competing claims, expired leases, and runners that return after their lease expired."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import event, text

from store import attempts, events, jobs, queue, trial_pages, trials
from store.artifacts import stored_files
from store.errors import LeaseLost
from store.records import Claim, JobState, Lease, StoredArtifact, TrialOutcome, TrialState
from store.session import Database

THREADS = 8


def claim(database: Database, worker: str = "runner-2") -> Claim | None:
    with database.begin() as tx:
        return queue.claim(tx, worker, lease_s=60)


def expire(database: Database, lease: Lease) -> None:
    """Lets the lease expire as if its runner had sent no heartbeat."""
    with database.begin() as tx:
        queue.renew(tx, lease, -1)


def test_threads_that_claim_at_once_never_get_the_same_job(database: Database) -> None:
    with database.begin() as tx:
        submitted = {queue.submit(tx, {"number": number}).id for number in range(24)}
    barrier = Barrier(THREADS)

    def claim_all(worker: int) -> list[str]:
        barrier.wait()
        taken = []
        while (found := claim(database, f"runner-{worker}")) is not None:
            taken.append(found.job.id)
        return taken

    with ThreadPoolExecutor(THREADS) as pool:
        taken = [job_id for jobs in pool.map(claim_all, range(THREADS)) for job_id in jobs]

    assert len(taken) == 24
    assert set(taken) == submitted


def test_threads_that_claim_at_once_take_an_expired_job_over_only_once(database: Database, lease: Lease) -> None:
    expire(database, lease)
    barrier = Barrier(THREADS)

    def claim_once(worker: int) -> Claim | None:
        barrier.wait()
        return claim(database, f"runner-{worker}")

    with ThreadPoolExecutor(THREADS) as pool:
        claims = [found for found in pool.map(claim_once, range(THREADS)) if found is not None]

    assert [found.job.attempt for found in claims] == [2]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_claim_passes_over_a_job_that_another_transaction_is_claiming(database: Database) -> None:
    with database.begin() as tx:
        first, second = queue.submit(tx, {}), queue.submit(tx, {})

    with database.begin() as slow:
        slow_claim = queue.claim(slow, "runner-1", lease_s=60)
        quick_claim = claim(database)

    assert slow_claim is not None
    assert quick_claim is not None
    assert (slow_claim.job.id, quick_claim.job.id) == (first.id, second.id)


def test_expired_lease_is_claimed_again_and_its_old_token_refused(database: Database, lease: Lease) -> None:
    expire(database, lease)

    second = claim(database)

    assert second is not None
    assert (second.job.id, second.job.attempt, second.job.worker) == (lease.job_id, 2, "runner-2")
    content = StoredArtifact("ab" * 32, 1)
    for write in (
        lambda tx: queue.renew(tx, lease, 60),
        lambda tx: attempts.set_progress(tx, lease, {"epoch": 9}),
        lambda tx: queue.finish(tx, lease, JobState.SUCCEEDED, result={}),
        lambda tx: queue.release(tx, lease),
        lambda tx: events.append(tx, lease, "note", {}),
        lambda tx: trials.record_done(
            tx, lease, "tune", 0, config={}, epochs=1, seed=0, outcome=TrialOutcome(loss=0.5)
        ),
        lambda tx: stored_files.attach(tx, lease, "report.json", content, "application/json"),
    ):
        with pytest.raises(LeaseLost), database.begin() as tx:
            write(tx)
    with database.begin() as tx:
        assert queue.renew(tx, second.lease, 60) is False
        assert [event.data["message"] for event in events.page(tx, lease.job_id)] == [
            "the runner 'runner-1' stopped answering; the runner 'runner-2' begins attempt 2 of 3"
        ]
        assert trial_pages.list(tx, lease.job_id).items == ()


def test_lease_that_is_renewed_in_time_is_not_taken_over(database: Database, lease: Lease) -> None:
    expire(database, lease)

    with database.begin() as tx:
        queue.renew(tx, lease, 60)

    assert claim(database) is None


def test_takeover_begins_stage_and_progress_anew_and_interrupts_what_ran(database: Database, lease: Lease) -> None:
    with database.begin() as tx:
        attempts.set_stage(tx, lease, "tune", {"trial": 0})
        trials.record_started(tx, lease, "tune", 0, config={}, epochs=1, seed=0)
        started_at = jobs.get(tx, lease.job_id).started_at
    expire(database, lease)

    second = claim(database)

    assert second is not None
    assert (second.job.stage, second.job.progress) == (None, None)
    assert second.job.started_at == started_at
    with database.read() as tx:
        assert trials.get(tx, lease.job_id, "tune", 0).state is TrialState.INTERRUPTED


def test_job_whose_attempts_are_used_up_fails_with_a_reason_instead_of_running_again(database: Database) -> None:
    with database.begin() as tx:
        job = queue.submit(tx, {}, max_attempts=2)
    for worker in ("runner-1", "runner-2"):
        found = claim(database, worker)
        assert found is not None
        with database.begin() as tx:
            attempts.set_stage(tx, found.lease, "activations")
        expire(database, found.lease)

    assert claim(database, "runner-3") is None

    with database.read() as tx:
        failed, notes = jobs.get(tx, job.id), events.page(tx, job.id)
    assert failed.state is JobState.FAILED
    assert failed.error is not None
    assert (failed.error.code, failed.error.stage) == ("attempts_used_up", "activations")
    assert failed.error.message == "the runner 'runner-2' stopped answering in attempt 2 of 2, the last one"
    assert [note.data["message"] for note in notes] == [
        "the runner 'runner-1' stopped answering; the runner 'runner-2' begins attempt 2 of 2",
        "the runner 'runner-2' stopped answering in attempt 2 of 2",
    ]


def test_job_that_is_cancelling_is_cancelled_once_its_lease_has_expired(database: Database, lease: Lease) -> None:
    with database.begin() as tx:
        queue.request_cancel(tx, lease.job_id)
    expire(database, lease)

    assert claim(database) is None

    with database.read() as tx:
        job = jobs.get(tx, lease.job_id)
    assert (job.state, job.worker, job.error) == (JobState.CANCELLED, None, None)


def test_leases_expire_by_the_clock_of_the_database(database: Database, lease: Lease) -> None:
    long_ago = "'2001-01-01T00:00:00.000Z'"
    with database.begin() as tx:
        tx.execute(text(f"UPDATE jobs SET lease_expires_at = {long_ago}"))

    second = claim(database)

    assert second is not None
    assert second.lease.job_id == lease.job_id


def test_claim_does_not_look_through_finished_jobs(database: Database) -> None:
    statements: list[tuple[str, Any]] = []
    with database.begin() as tx:
        event.listen(tx, "before_cursor_execute", lambda *call: statements.append((call[2], call[3])))
        queue.claim(tx, "runner-1", lease_s=60)
    settle, take = statements

    with database.begin() as tx:
        if tx.dialect.name == "postgresql":
            # A planner that has an empty table before it would rather read it whole.
            tx.execute(text("SET LOCAL enable_seqscan = off"))
        explain = "EXPLAIN" if tx.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
        plans = [str(tx.exec_driver_sql(f"{explain} {sql}", values).all()) for sql, values in (settle, take)]

    assert all("ix_jobs_state_id" in plan for plan in plans), plans
