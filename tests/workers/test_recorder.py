"""Every event that a run reports is in SQL, once and in order, when the block has ended."""

from math import inf, nan

import pytest
from sqlalchemy.exc import StatementError

from safs.errors import Cancelled
from safs.events.kinds import (
    EpochDone,
    Event,
    Note,
    Pulse,
    Stage,
    StageDone,
    StageStarted,
    TrialDone,
    TrialStarted,
    WorkerLost,
    event_kind,
)
from safs.events.plan import plan_stages
from safs.events.progress import Tracker
from safs.execution.executor import EARLIER_ATTEMPT
from safs.reuse.cached_executor import THIS_JOB
from safs.spec.job import JobSpec
from safs.trials import Candidate, EpochMetrics, Outcome
from store import events, jobs, trials
from store.errors import LeaseLost
from store.records import Lease, TrialState
from store.session import Database
from tests.pipeline.jobs import TINY
from tests.workers.connections import LostAnswers
from tests.workers.leases import take_over
from workers import recorder as recorder_module
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


def _tracker() -> Tracker:
    return Tracker(plan_stages(JobSpec.model_validate(TINY)))


def test_all_events_are_in_the_database_in_order_when_the_block_ends(database: Database, lease: Lease) -> None:
    with Recorder(database, lease, _tracker(), lambda: None) as recorder:
        for event in STORY:
            recorder(event)

    with database.read() as tx:
        stored = events.page(tx, lease.job_id)
        trial = trials.get(tx, lease.job_id, "activations", 0)
        curve = trials.curve(tx, lease.job_id, "activations", 0)
        job = jobs.get(tx, lease.job_id)
    kinds = ["stage_started", "trial_started", "epoch_done", "trial_done", "note", "stage_done"]
    assert [event.kind for event in stored] == kinds
    assert (trial.config, trial.seed) == ({"relu1": "swish"}, 7)
    assert trial.outcome is not None
    assert (trial.outcome.loss, trial.outcome.accuracy, trial.outcome.error) == (0.75, 0.25, None)
    assert [(point.epoch, point.validation_accuracy) for point in curve] == [(1, 0.25)]
    assert (job.stage, recorder.stage) == ("activations", "activations")
    assert job.progress is not None
    assert job.progress["trials_done"] == 1


def test_events_whose_commit_looked_like_a_failure_are_stored_once(
    database: Database, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "RETRY_S", 0.0)
    broken = LostAnswers(database.url.render_as_string(hide_password=False), answers_lost=2)

    with Recorder(broken, lease, _tracker(), lambda: None) as recorder:
        for event in STORY:
            recorder(event)
    broken.dispose()

    with database.read() as tx:
        stored = events.page(tx, lease.job_id)
        curve = trials.curve(tx, lease.job_id, "activations", 0)
    assert broken.answers_lost == 0
    assert [event.kind for event in stored] == [event_kind(event) for event in STORY if not isinstance(event, Pulse)]
    assert len(curve) == 1


def test_workers_that_were_lost_are_among_the_faults_that_the_job_survived(database: Database, lease: Lease) -> None:
    with Recorder(database, lease, _tracker(), lambda: None) as recorder:
        recorder(STORY[0])
        recorder(WorkerLost(Stage.ACTIVATIONS, 0, 1.5))
        recorder(WorkerLost(None, None, 0.25))

    with database.read() as tx:
        job = jobs.get(tx, lease.job_id)
        stored = events.page(tx, lease.job_id)
    assert (job.workers_lost, job.trials_repeated, job.seconds_lost) == (2, 1, 1.75)
    assert [event.kind for event in stored] == ["stage_started", "worker_lost", "worker_lost"]


def test_a_recorder_without_its_lease_raises_and_writes_nothing(database: Database, lease: Lease) -> None:
    take_over(database, lease)

    with pytest.raises(LeaseLost), Recorder(database, lease, _tracker(), lambda: None) as recorder:
        recorder(STORY[0])

    with database.read() as tx:
        assert [event for event in events.page(tx, lease.job_id) if event.kind == "stage_started"] == []


def test_an_error_of_the_check_ends_the_run_at_the_next_event(database: Database, lease: Lease) -> None:
    def cancelled() -> None:
        raise Cancelled("cancelled by the user")

    with pytest.raises(Cancelled), Recorder(database, lease, _tracker(), cancelled) as recorder:
        recorder(Pulse())


def test_progress_is_that_of_the_last_event(database: Database, lease: Lease) -> None:
    with Recorder(database, lease, _tracker(), lambda: None) as recorder:
        for event in STORY[:4]:
            recorder(event)

    with database.read() as tx:
        progress = jobs.get(tx, lease.job_id).progress
    assert progress is not None
    assert {key: progress[key] for key in ("stage", "trials_done", "trials", "epochs_done", "best_accuracy")} == {
        "stage": "activations",
        "trials_done": 0,
        "trials": 3,
        "epochs_done": 1,
        "best_accuracy": 0.25,
    }


def test_a_trial_that_broke_down_is_kept_with_its_reason(database: Database, lease: Lease) -> None:
    with Recorder(database, lease, _tracker(), lambda: None) as recorder:
        recorder(STORY[0])
        recorder(TrialDone(Stage.ACTIVATIONS, CANDIDATE, Outcome(inf, error="diverged")))

    with database.read() as tx:
        trial = trials.get(tx, lease.job_id, "activations", 0)
    assert trial.state is TrialState.FAILED
    assert trial.outcome is not None
    assert (trial.outcome.loss, trial.outcome.error) == (None, "diverged")


def test_a_trial_reused_from_another_job_names_that_job_in_both_rows(database: Database, lease: Lease) -> None:
    with Recorder(database, lease, _tracker(), lambda: None) as recorder:
        recorder(STORY[0])
        recorder(TrialDone(Stage.ACTIVATIONS, CANDIDATE, Outcome(0.75, {"accuracy": 0.25}), "job_1"))
        recorder(TrialDone(Stage.FINAL, CANDIDATE, Outcome(0.75, {"accuracy": 0.25}), THIS_JOB))

    with database.read() as tx:
        trial = trials.get(tx, lease.job_id, "activations", 0)
        reused = jobs.get(tx, lease.job_id).reused
    assert (trial.state, trial.recalled) == (TrialState.DONE, "job_1")
    assert reused == {"activations": ["job_1"]}


def test_a_trial_that_an_earlier_attempt_finished_keeps_its_row(database: Database, lease: Lease) -> None:
    known = Outcome(0.75, {"accuracy": 0.25, "cross_entropy": 2.2}, 0.5, (METRICS,))
    with Recorder(database, lease, _tracker(), lambda: None) as recorder:
        recorder(TrialDone(Stage.ACTIVATIONS, CANDIDATE, known))
    with database.read() as tx:
        before = trials.finished(tx, lease.job_id, "activations")

    with Recorder(database, take_over(database, lease), _tracker(), lambda: None) as recorder:
        recorder(STORY[0])
        recorder(TrialDone(Stage.ACTIVATIONS, CANDIDATE, known, EARLIER_ATTEMPT))
        recorder(StageDone(Stage.ACTIVATIONS, 0.6, "done", EARLIER_ATTEMPT))

    with database.read() as tx:
        assert trials.finished(tx, lease.job_id, "activations") == before
        assert jobs.get(tx, lease.job_id).reused is None


def test_a_recalled_trial_whose_end_was_not_stored_before_the_crash_is_stored(database: Database, lease: Lease) -> None:
    known = Outcome(0.75, {"accuracy": 0.25}, 0.5, (METRICS,))
    with Recorder(database, lease, _tracker(), lambda: None) as recorder:
        recorder(TrialStarted(Stage.ACTIVATIONS, CANDIDATE))

    with Recorder(database, take_over(database, lease), _tracker(), lambda: None) as recorder:
        recorder(STORY[0])
        recorder(TrialDone(Stage.ACTIVATIONS, CANDIDATE, known, EARLIER_ATTEMPT))

    with database.read() as tx:
        (finished,) = trials.finished(tx, lease.job_id, "activations")
    assert (finished.trial.state, finished.trial.recalled) == (TrialState.DONE, None)
    assert len(finished.curve) == 1


def test_events_before_a_cancellation_are_stored(database: Database, lease: Lease) -> None:
    reasons: list[Exception] = []

    def check() -> None:
        for reason in reasons:
            raise reason

    with Recorder(database, lease, _tracker(), check) as recorder:
        recorder(STORY[0])
        recorder(STORY[1])
        reasons.append(Cancelled("cancelled by the user"))
        with pytest.raises(Cancelled):
            recorder(STORY[3])

    with database.read() as tx:
        assert [event.kind for event in events.page(tx, lease.job_id)] == ["stage_started", "trial_started"]


def test_an_event_that_cannot_be_stored_ends_the_run(database: Database, lease: Lease) -> None:
    odd = Candidate(0, {"learning_rate": nan}, 1, 0)  # JSON has no NaN, so the column cannot hold it.

    with (
        pytest.raises((StatementError, ValueError), match="JSON"),
        Recorder(database, lease, _tracker(), lambda: None) as recorder,
    ):
        recorder(TrialStarted(Stage.ACTIVATIONS, odd))
