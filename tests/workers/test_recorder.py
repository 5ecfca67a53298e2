from pathlib import Path

import pytest
from sqlalchemy import text

from safs.errors import Cancelled
from safs.events import EpochDone, Event, Note, Pulse, Stage, StageDone, StageStarted, TrialDone, TrialStarted
from safs.progress import Tracker, plan_stages
from safs.spec import JobSpec
from safs.trials import Candidate, EpochMetrics, Outcome
from store import events, queue, trials
from store.errors import LeaseLost
from store.records import Lease
from store.session import Database
from tests.pipeline.jobs import TINY
from workers.heartbeat import Heartbeat
from workers.recorder import Recorder

METRICS = EpochMetrics(1, 2.3, 2.2, 0.25, 1e-3, 0.5)
CANDIDATE = Candidate(0, {"relu1": "swish"}, 1, 7)
STORY: list[Event] = [
    StageStarted(Stage.ACTIVATIONS, 3, 1),
    TrialStarted(Stage.ACTIVATIONS, CANDIDATE),
    Pulse(),
    EpochDone(Stage.ACTIVATIONS, 0, METRICS),
    TrialDone(Stage.ACTIVATIONS, CANDIDATE, Outcome(0.75, {"accuracy": 0.25, "cross_entropy": 2.2}, 0.5, (METRICS,))),
    Note("careful", "warning"),
    StageDone(Stage.ACTIVATIONS, 0.6, "done"),
]


@pytest.fixture
def lease(database: Database) -> Lease:
    with database.begin() as tx:
        queue.submit(tx, TINY)
        claim = queue.claim(tx, "test", 60)
    assert claim is not None
    return claim.lease


def _tracker() -> Tracker:
    return Tracker(plan_stages(JobSpec.model_validate(TINY)))


def _take_over(database: Database, lease: Lease) -> None:
    """Lets the lease expire and another runner claim the job."""
    with database.begin() as tx:
        queue.renew(tx, lease, -1)
    with database.begin() as tx:
        assert queue.claim(tx, "another", 60) is not None


def test_all_that_was_told_is_in_the_database_in_order_when_the_block_ends(database: Database, lease: Lease) -> None:
    with Recorder(database, lease, _tracker(), lambda: None) as recorder:
        for event in STORY:
            recorder(event)

    with database.read() as tx:
        told = events.page(tx, lease.job_id)
        trial = trials.get(tx, lease.job_id, "activations", 0)
        curve = trials.curve(tx, lease.job_id, "activations", 0)
        job = queue.get(tx, lease.job_id)
    kinds = ["stage_started", "trial_started", "epoch_done", "trial_done", "note", "stage_done"]
    assert [event.kind for event in told] == kinds
    assert (trial.config, trial.seed) == ({"relu1": "swish"}, 7)
    assert trial.outcome is not None
    assert (trial.outcome.loss, trial.outcome.accuracy, trial.outcome.error) == (0.75, 0.25, None)
    assert [(point.epoch, point.validation_accuracy) for point in curve] == [(1, 0.25)]
    assert (job.stage, recorder.stage) == ("activations", "activations")
    assert job.progress is not None
    assert job.progress["trials_done"] == 1


def test_a_recorder_whose_lease_was_taken_over_says_so_and_writes_nothing(database: Database, lease: Lease) -> None:
    _take_over(database, lease)

    with pytest.raises(LeaseLost), Recorder(database, lease, _tracker(), lambda: None) as recorder:
        recorder(STORY[0])

    with database.read() as tx:
        assert [event for event in events.page(tx, lease.job_id) if event.kind == "stage_started"] == []


def test_what_the_check_raises_ends_the_run_at_the_next_event(database: Database, lease: Lease) -> None:
    def cancelled() -> None:
        raise Cancelled("cancelled by the user")

    with pytest.raises(Cancelled), Recorder(database, lease, _tracker(), cancelled) as recorder:
        recorder(Pulse())


def _await(heartbeat: Heartbeat) -> None:
    """Until the heartbeat has something to say; pytest's time limit is the judge."""
    while True:
        heartbeat.check()


def test_a_heartbeat_notices_that_the_job_is_to_be_cancelled(database: Database, lease: Lease) -> None:
    with database.begin() as tx:
        queue.request_cancel(tx, lease.job_id)

    with Heartbeat(database, lease, lease_s=60, every_s=0.01) as heartbeat, pytest.raises(Cancelled):
        _await(heartbeat)


def test_a_heartbeat_notices_that_another_runner_has_the_job(database: Database, lease: Lease) -> None:
    _take_over(database, lease)

    with Heartbeat(database, lease, lease_s=60, every_s=0.01) as heartbeat, pytest.raises(LeaseLost):
        _await(heartbeat)


def test_a_heartbeat_keeps_the_lease_alive(database: Database, lease: Lease) -> None:
    with database.begin() as tx:
        queue.renew(tx, lease, 0.5)

    with Heartbeat(database, lease, lease_s=60, every_s=0.01) as heartbeat:
        while _expires_in_less_than_a_minute(database, lease):
            heartbeat.check()
        with database.begin() as tx:
            assert queue.claim(tx, "another", 60) is None


def _expires_in_less_than_a_minute(database: Database, lease: Lease) -> bool:
    """Whether the first renewal by the heartbeat is still to come: the row's expiry is the one that we have set."""
    with database.read() as tx:
        now_held = tx.execute(text("SELECT lease_expires_at FROM jobs WHERE id = :id"), {"id": lease.job_id}).scalar()
    return str(now_held) < str(lease.expires_at)


def test_a_missing_database_loses_the_lease_once_it_would_have_expired(
    sqlite_database: Database, tmp_path: Path
) -> None:
    with sqlite_database.begin() as tx:
        queue.submit(tx, TINY)
        claim = queue.claim(tx, "test", 60)
    assert claim is not None
    gone = Database(f"sqlite:///{tmp_path / 'not' / 'there.db'}")
    (tmp_path / "not" / "there.db").mkdir(parents=True)

    with Heartbeat(gone, claim.lease, lease_s=0.05, every_s=0.01) as heartbeat, pytest.raises(LeaseLost, match="away"):
        _await(heartbeat)
