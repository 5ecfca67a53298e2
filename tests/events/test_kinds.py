import json
from math import inf, isnan, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safs.events.kinds import EVENT_KINDS, EpochDone, Stage, TrialDone, event_data, event_from, event_kind
from safs.trials import Candidate, EpochMetrics, Outcome, Trial, best_trial
from tests.events.events import any_event, as_sent

METRICS = EpochMetrics(1, 2.3, 2.2, 0.125, 1e-3, 0.5)
CANDIDATE = Candidate(3, {"relu1": "swish"}, 5, 0)


@pytest.mark.parametrize("kind", EVENT_KINDS)
@given(data=st.data())
def test_every_field_of_an_event_survives_json(kind: str, data: st.DataObject) -> None:
    event = data.draw(any_event(kind))

    sent = json.dumps(event_data(event), allow_nan=False)

    assert event_kind(event) == kind
    assert event_from(kind, json.loads(sent)) == as_sent(event)


def test_a_trial_that_broke_down_has_a_null_loss_and_no_curve_in_its_event() -> None:
    event = TrialDone(Stage.TUNE, CANDIDATE, Outcome(inf, {"cross_entropy": nan}, 1.0, (METRICS,), "diverged"))

    outcome = event_data(event)["outcome"]

    expected = {"loss": None, "metrics": {"cross_entropy": None}, "seconds": 1.0, "error": "diverged", "left": None}
    assert outcome == expected


def test_null_is_an_infinite_loss_a_missing_metric_and_otherwise_nan() -> None:
    trial = TrialDone(Stage.TUNE, CANDIDATE, Outcome(inf, {"accuracy": nan, "epoch": 1.0}, 1.0, error="diverged"))
    epoch = EpochDone(Stage.TUNE, 3, EpochMetrics(2, nan, inf, nan, 1.0, 0.2))

    read_trial, read_epoch = (event_from(event_kind(event), event_data(event)) for event in (trial, epoch))

    assert isinstance(read_trial, TrialDone)
    assert read_trial.outcome == Outcome(inf, {"epoch": 1.0}, 1.0, error="diverged")
    assert isinstance(read_epoch, EpochDone)
    assert (read_epoch.metrics.train_loss, read_epoch.metrics.validation_loss) == (inf, inf)
    assert isnan(read_epoch.metrics.validation_accuracy)


def test_fields_that_a_newer_service_adds_are_ignored_and_those_that_an_older_one_lacks_get_their_defaults() -> None:
    data = event_data(TrialDone(Stage.TUNE, CANDIDATE, Outcome(0.5)))
    del data["recalled"], data["candidate"]["horizon"]

    assert event_from("trial_done", data | {"house": "moved"}) == TrialDone(Stage.TUNE, CANDIDATE, Outcome(0.5))


def test_a_kind_of_a_newer_service_is_no_event() -> None:
    assert event_from("moved_house", {}) is None


def _trial(number: int, loss: float, cross_entropy: float, error: str | None = None) -> Trial:
    return Trial(Candidate(number, {}, 1, 0), Outcome(loss, {"cross_entropy": cross_entropy}, error=error))


def test_the_best_trial_has_the_lowest_loss_then_the_lowest_cross_entropy_then_the_lowest_number() -> None:
    trials = [_trial(0, 0.2, 1.0), _trial(1, 0.1, 0.9), _trial(2, 0.1, 0.5), _trial(3, 0.1, 0.5)]

    best = best_trial(trials)

    assert best is not None
    assert best.candidate.number == 2


def test_trials_that_broke_down_are_never_the_best() -> None:
    assert best_trial([_trial(0, inf, inf, "diverged")]) is None
