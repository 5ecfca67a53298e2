"""The life of a job, from submission to its end."""

from datetime import UTC, datetime, timedelta

import pytest

from store import attempts, events, jobs, queue, trial_pages, trials
from store.errors import IncompatibleState, InvalidPageToken, InvalidValue, JobNotFound, LeaseLost
from store.records import CurvePoint, Job, JobError, JobState, Lease, TrialOutcome, TrialState
from store.session import Database

SPEC = {"model": {"architecture": "lenet5"}, "data": {"dataset": "digits"}, "sparsity": 0.99}


def submit(database: Database, name: str | None = None) -> Job:
    with database.begin() as tx:
        return queue.submit(tx, SPEC, name)


def get(database: Database, job_id: str) -> Job:
    with database.read() as tx:
        return jobs.get(tx, job_id)


def test_submitted_job_is_queued_and_read_back_as_it_was(database: Database) -> None:
    job = submit(database, "first")

    found = get(database, job.id)

    assert found == job
    assert (found.state, found.name, found.spec, found.attempt) == (JobState.QUEUED, "first", SPEC, 0)
    assert (found.started_at, found.finished_at, found.stage, found.result, found.error) == (None,) * 5
    assert found.created_at.tzinfo is UTC
    assert abs(found.created_at - datetime.now(UTC)) < timedelta(minutes=5)


def test_unknown_job_is_named_in_the_error(database: Database) -> None:
    with database.read() as tx, pytest.raises(JobNotFound, match="'job_missing'"):
        jobs.get(tx, "job_missing")


def test_submission_rolled_back_leaves_no_job(database: Database) -> None:
    with database.begin() as tx:
        queue.submit(tx, SPEC)
        tx.rollback()

    with database.read() as tx:
        assert jobs.list(tx).items == ()


def test_claim_takes_the_oldest_job_and_then_the_next(database: Database) -> None:
    first, second = submit(database), submit(database)

    with database.begin() as tx:
        claims = [queue.claim(tx, "runner-1", lease_s=60) for _ in range(3)]

    assert [claim and claim.job.id for claim in claims] == [first.id, second.id, None]


def test_claimed_job_is_running_under_a_lease_that_lasts_as_asked(database: Database) -> None:
    submit(database)

    with database.begin() as tx:
        claim = queue.claim(tx, "runner-1", lease_s=60)

    assert claim is not None
    assert claim.job == get(database, claim.lease.job_id)
    assert (claim.job.state, claim.job.worker, claim.job.attempt) == (JobState.RUNNING, "runner-1", 1)
    assert claim.job.started_at is not None
    assert claim.lease.expires_at - claim.job.started_at == pytest.approx(
        timedelta(seconds=60), abs=timedelta(seconds=5)
    )


def test_stage_and_progress_are_seen_by_readers_and_begin_anew_with_the_stage(database: Database, lease: Lease) -> None:
    with database.begin() as tx:
        attempts.set_stage(tx, lease, "dense", {"epoch": 0})
        attempts.set_progress(tx, lease, {"epoch": 3})
    dense = get(database, lease.job_id)
    with database.begin() as tx:
        attempts.set_stage(tx, lease, "prune")

    assert (dense.stage, dense.progress) == ("dense", {"epoch": 3})
    assert (get(database, lease.job_id).stage, get(database, lease.job_id).progress) == ("prune", None)


def test_succeeded_job_keeps_its_result_and_holds_no_lease(database: Database, lease: Lease) -> None:
    with database.begin() as tx:
        queue.finish(tx, lease, JobState.SUCCEEDED, result={"validation_accuracy": 0.98})

    job = get(database, lease.job_id)
    assert (job.state, job.result, job.worker) == (JobState.SUCCEEDED, {"validation_accuracy": 0.98}, None)
    assert job.finished_at is not None
    assert job.state.is_final


def test_failed_job_says_why_and_in_which_stage(database: Database, lease: Lease) -> None:
    error = JobError("training_failed", "the dense training diverged in epoch 2", "dense")

    with database.begin() as tx:
        queue.finish(tx, lease, JobState.FAILED, error=error)

    job = get(database, lease.job_id)
    assert (job.state, job.error, job.result) == (JobState.FAILED, error, None)


def test_finished_job_refuses_every_further_write_of_its_runner(database: Database, lease: Lease) -> None:
    with database.begin() as tx:
        queue.finish(tx, lease, JobState.SUCCEEDED, result={})

    for write in (
        lambda tx: queue.finish(tx, lease, JobState.FAILED, error=JobError("late", "too late")),
        lambda tx: queue.renew(tx, lease, 60),
        lambda tx: queue.release(tx, lease),
        lambda tx: attempts.set_stage(tx, lease, "tune"),
        lambda tx: attempts.set_progress(tx, lease, {}),
        lambda tx: events.append(tx, lease, "note", {}),
        lambda tx: trials.record_started(tx, lease, "tune", 0, config={}, epochs=1, seed=0),
    ):
        with pytest.raises(LeaseLost, match=lease.job_id), database.begin() as tx:
            write(tx)
    assert get(database, lease.job_id).state is JobState.SUCCEEDED


def test_released_job_is_queued_again_at_once_and_the_attempt_does_not_count(database: Database, lease: Lease) -> None:
    with database.begin() as tx:
        released = queue.release(tx, lease)
        claim = queue.claim(tx, "runner-2", lease_s=60)

    assert (released.state, released.attempt, released.worker) == (JobState.QUEUED, 0, None)
    assert claim is not None
    assert (claim.job.id, claim.job.attempt) == (lease.job_id, 1)
    assert claim.lease.token != lease.token


def test_cancelling_a_queued_job_ends_it_at_once(database: Database) -> None:
    job = submit(database)

    with database.begin() as tx:
        cancelled = queue.request_cancel(tx, job.id)

    assert cancelled.state is JobState.CANCELLED
    assert cancelled.finished_at is not None
    with database.begin() as tx:
        assert queue.claim(tx, "runner-1", lease_s=60) is None


def test_cancelling_a_running_job_tells_its_runner_at_the_next_renewal(database: Database, lease: Lease) -> None:
    with database.begin() as tx:
        asked_before = queue.renew(tx, lease, 60)
        cancelling = queue.request_cancel(tx, lease.job_id)
        again = queue.request_cancel(tx, lease.job_id)
        asked_after = queue.renew(tx, lease, 60)
        ended = queue.finish(tx, lease, JobState.CANCELLED)

    assert (asked_before, asked_after) == (False, True)
    assert cancelling.state is again.state is JobState.CANCELLING
    assert cancelling.finished_at is None
    assert ended.state is JobState.CANCELLED


def test_job_that_is_cancelling_is_cancelled_when_its_runner_hands_it_back(database: Database, lease: Lease) -> None:
    with database.begin() as tx:
        queue.request_cancel(tx, lease.job_id)
        released = queue.release(tx, lease)

    assert released.state is JobState.CANCELLED
    assert released.finished_at is not None


@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.CANCELLED])
def test_finished_job_cannot_be_cancelled(database: Database, lease: Lease, state: JobState) -> None:
    with database.begin() as tx:
        queue.finish(tx, lease, state)

    with database.begin() as tx, pytest.raises(IncompatibleState, match=f"already {state}"):
        queue.request_cancel(tx, lease.job_id)


def test_cancelling_an_unknown_job_says_that_there_is_none(database: Database) -> None:
    with database.begin() as tx, pytest.raises(JobNotFound):
        queue.request_cancel(tx, "job_missing")


def test_trials_that_run_when_a_job_ends_are_interrupted_and_finished_ones_stay(
    database: Database, lease: Lease
) -> None:
    with database.begin() as tx:
        trials.record_started(tx, lease, "tune", 0, config={}, epochs=1, seed=0)
        queue.finish(tx, lease, JobState.CANCELLED)

    with database.read() as tx:
        trial = trials.get(tx, lease.job_id, "tune", 0)
    assert (trial.state, trial.outcome) == (TrialState.INTERRUPTED, None)
    assert trial.finished_at is not None


def test_list_is_newest_first_and_filtered_by_state(database: Database) -> None:
    first, second, third = (submit(database) for _ in range(3))
    with database.begin() as tx:
        queue.request_cancel(tx, second.id)

    with database.read() as tx:
        everything, queued = jobs.list(tx), jobs.list(tx, state=JobState.QUEUED)

    assert [job.id for job in everything.items] == [third.id, second.id, first.id]
    assert [job.id for job in queued.items] == [third.id, first.id]
    assert everything.next_token is None


def test_pages_are_complete_and_without_duplicates_while_jobs_are_submitted(database: Database) -> None:
    before = [submit(database).id for _ in range(7)]
    seen: list[str] = []
    token: str | None = None

    for _ in range(4):
        with database.begin() as tx:
            page = jobs.list(tx, limit=2, page_token=token)
            queue.submit(tx, SPEC)
        seen += [job.id for job in page.items]
        token = page.next_token

    assert seen == before[::-1]
    assert token is None


@pytest.mark.parametrize(
    "token", ["", "x", "%%%", "bm90IGpzb24", "WyJ0cmlhbHMiLCAiam9iXzEiXQ", "WyJqb2JzIiwgMV0", "[]"]
)
def test_malformed_page_token_is_refused(database: Database, token: str) -> None:
    with database.read() as tx, pytest.raises(InvalidPageToken, match="not a page token"):
        jobs.list(tx, page_token=token)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_name_that_postgresql_cannot_hold_is_refused_with_the_reason(database: Database) -> None:
    with pytest.raises(InvalidValue, match="NUL"), database.begin() as tx:
        queue.submit(tx, SPEC, "a\0b")


def test_the_first_attempts_number_in_flight_stays_for_later_ones(database: Database, lease: Lease) -> None:
    with database.begin() as tx:
        first = attempts.pin_in_flight(tx, lease, 2)
        queue.renew(tx, lease, -1)
        second = queue.claim(tx, "runner-2", lease_s=60)
        assert second is not None

        assert (first, attempts.pin_in_flight(tx, second.lease, 16)) == (2, 2)


def test_trials_of_another_version_of_the_program_are_not_kept(database: Database, lease: Lease) -> None:
    with database.begin() as tx:
        first = attempts.pin_program(tx, lease, "old")
        trials.record_done(
            tx,
            lease,
            "tune",
            0,
            config={},
            epochs=1,
            seed=0,
            outcome=TrialOutcome(0.5),
            curve=[CurvePoint(1, *[0.5] * 5)],
        )
        again = attempts.pin_program(tx, lease, "old")
        kept = trial_pages.list(tx, lease.job_id).items
        changed = attempts.pin_program(tx, lease, "new")

        assert (first, again, len(kept), changed) == (False, False, 1, True)
        assert trial_pages.list(tx, lease.job_id).items == ()
        assert not attempts.pin_program(tx, lease, "new")


def test_a_job_tells_stage_by_stage_whose_outputs_it_uses_also_after_another_claim(
    database: Database, lease: Lease
) -> None:
    with database.begin() as tx:
        before = jobs.get(tx, lease.job_id).reused
        attempts.note_reuse(tx, lease, "dense", "job_1")
        attempts.note_reuse(tx, lease, "final", "job_2")
        attempts.note_reuse(tx, lease, "final", "job_1")
        attempts.note_reuse(tx, lease, "dense", "job_1")
        queue.renew(tx, lease, -1)
        second = queue.claim(tx, "runner-2", lease_s=60)

    assert before is None
    assert second is not None
    assert second.job.reused == {"dense": ["job_1"], "final": ["job_2", "job_1"]}
