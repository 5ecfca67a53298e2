import json
from math import inf, nan

from safs.events.kinds import (
    EVENT_KINDS,
    EpochDone,
    Event,
    Note,
    Stage,
    StageDone,
    StageStarted,
    TrialDone,
    TrialStarted,
    WorkerLost,
    event_data,
    event_kind,
)
from safs.trials import Candidate, EpochMetrics, Outcome, Trial, best_trial

METRICS = EpochMetrics(1, 2.3, 2.2, 0.125, 1e-3, 0.5)
CANDIDATE = Candidate(3, {"relu1": "swish"}, 5, 0)
ONE_OF_EACH: list[Event] = [
    StageStarted(Stage.TUNE, 20, 8),
    TrialStarted(Stage.TUNE, CANDIDATE),
    EpochDone(Stage.TUNE, 3, METRICS),
    TrialDone(Stage.TUNE, CANDIDATE, Outcome(0.5, {"accuracy": 0.5}, 1.0, (METRICS,))),
    StageDone(Stage.TUNE, 12.5, "done"),
    Note("careful", "warning"),
    WorkerLost(Stage.TUNE, 3, 1.5),
]


def test_every_event_has_a_kind_and_is_plain_json() -> None:
    assert [event_kind(event) for event in ONE_OF_EACH] == list(EVENT_KINDS)
    for event in ONE_OF_EACH:
        assert json.loads(json.dumps(event_data(event), allow_nan=False)) == event_data(event)


def test_a_trial_that_broke_down_has_a_null_loss_and_no_curve_in_its_event() -> None:
    event = TrialDone(Stage.TUNE, CANDIDATE, Outcome(inf, {"cross_entropy": nan}, 1.0, (METRICS,), "diverged"))

    outcome = event_data(event)["outcome"]

    told = {"loss": None, "metrics": {"cross_entropy": None}, "seconds": 1.0, "error": "diverged", "left": None}
    assert outcome == told


def _trial(number: int, loss: float, cross_entropy: float, error: str | None = None) -> Trial:
    return Trial(Candidate(number, {}, 1, 0), Outcome(loss, {"cross_entropy": cross_entropy}, error=error))


def test_the_best_trial_has_the_lowest_loss_then_the_lowest_cross_entropy_then_the_lowest_number() -> None:
    trials = [_trial(0, 0.2, 1.0), _trial(1, 0.1, 0.9), _trial(2, 0.1, 0.5), _trial(3, 0.1, 0.5)]

    best = best_trial(trials)

    assert best is not None
    assert best.candidate.number == 2


def test_trials_that_broke_down_are_never_the_best() -> None:
    assert best_trial([_trial(0, inf, inf, "diverged")]) is None
