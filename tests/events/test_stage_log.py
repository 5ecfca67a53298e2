"""The log of the events of each stage."""

from math import inf

import pytest

from safs.errors import Cancelled
from safs.events.faults import Faults
from safs.events.kinds import Event, Note, Pulse, Stage, StageDone, StageStarted, TrialDone, WorkerLost
from safs.events.stage_log import StageLog
from safs.trials import Candidate, Outcome


def done(number: int, accuracy: float | None) -> TrialDone:
    """A trial of stage 2; one without an accuracy broke down."""
    outcome = Outcome(inf, error="diverged") if accuracy is None else Outcome(1 - accuracy, {"accuracy": accuracy})
    return TrialDone(Stage.TUNE, Candidate(number, {}, 1, 0), outcome)


def test_every_event_is_passed_on_in_order() -> None:
    received: list[Event] = []
    stage_log = StageLog(received.append)

    with stage_log.stage(Stage.TUNE, trials=1, epochs=8) as record:
        stage_log(done(0, 0.5))
        stage_log(Pulse())
        stage_log(Note("careful", "warning"))
        record.summary = "went well"

    assert received == [
        StageStarted(Stage.TUNE, 1, 8),
        done(0, 0.5),
        Pulse(),
        Note("careful", "warning"),
        StageDone(Stage.TUNE, record.seconds, "went well"),
    ]
    assert record.seconds > 0
    assert stage_log.notes == ["careful"]


def test_trials_are_kept_by_stage_in_the_order_of_their_numbers() -> None:
    stage_log = StageLog(lambda event: None)

    with stage_log.stage(Stage.TUNE) as record:
        for event in (done(2, None), done(0, 0.5), done(1, 0.75)):
            stage_log(event)

    assert stage_log.stages == {Stage.TUNE: record}
    assert [trial.candidate.number for trial in record.trials] == [0, 1, 2]
    assert (record.failed, record.best_accuracy) == (1, 0.75)


def test_lost_workers_are_added_to_the_faults_of_earlier_attempts() -> None:
    stage_log = StageLog(lambda event: None, Faults(runners_lost=1, trials_repeated=2, seconds_lost=10.0))

    stage_log(WorkerLost(Stage.TUNE, 3, 1.5))
    stage_log(WorkerLost(None, None, 0.5))

    assert stage_log.faults == Faults(runners_lost=1, workers_lost=2, trials_repeated=3, seconds_lost=12.0)


def test_a_stage_whose_trials_all_broke_down_has_no_best_accuracy() -> None:
    stage_log = StageLog(lambda event: None)

    with stage_log.stage(Stage.TUNE) as record:
        stage_log(done(0, None))

    assert (record.failed, record.best_accuracy) == (1, None)


def test_a_stage_that_raises_is_not_reported_as_done() -> None:
    received: list[Event] = []
    stage_log = StageLog(received.append)

    with pytest.raises(Cancelled), stage_log.stage(Stage.PRUNE):
        raise Cancelled("cancelled by the user")

    assert received == [StageStarted(Stage.PRUNE, 0, 0)]
    assert stage_log.stages[Stage.PRUNE].seconds == 0


def test_an_exception_of_report_reaches_the_stage() -> None:
    def cancel(event: Event) -> None:
        raise Cancelled("cancelled by the user")

    with pytest.raises(Cancelled), StageLog(cancel).stage(Stage.DENSE):
        pytest.fail("the stage must not begin")
