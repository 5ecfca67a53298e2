"""Events that went through JSON."""

import json
from math import inf, isnan

import pytest

from cli.events import read_event, seconds_of
from safs.events.kinds import (
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
from safs.trials import Candidate, EpochMetrics, Outcome

CANDIDATE = Candidate(3, {"act1": "symexp"}, 5, 17)


def through_json(event: Event) -> Event | None:
    return read_event(event_kind(event), json.loads(json.dumps(event_data(event))))


@pytest.mark.parametrize(
    "event",
    [
        StageStarted(Stage.TUNE, 16, 5),
        TrialStarted(Stage.ACTIVATIONS, CANDIDATE),
        EpochDone(Stage.DENSE, 0, EpochMetrics(1, 2.3, 2.2, 0.11, 1e-3, 0.4)),
        TrialDone(Stage.FINAL, CANDIDATE, Outcome(0.25, {"accuracy": 0.75, "cross_entropy": 0.8}, 3.5)),
        StageDone(Stage.PRUNE, 0.1, "615 of 61,470 weights are left"),
        Note("near chance", "warning"),
        WorkerLost(Stage.TUNE, 3, 1.5),
        WorkerLost(None, None, 0.5),
    ],
    ids=event_kind,
)
def test_an_event_arrives_as_it_was_sent(event: Event) -> None:
    assert through_json(event) == event


def test_what_was_not_finite_is_so_again() -> None:
    trial = through_json(TrialDone(Stage.TUNE, CANDIDATE, Outcome(inf, {"accuracy": inf}, 1.0, error="diverged")))
    epoch = through_json(EpochDone(Stage.TUNE, 3, EpochMetrics(2, inf, inf, 0.1, 1.0, 0.2)))

    assert isinstance(trial, TrialDone)
    assert trial.outcome == Outcome(inf, {}, 1.0, error="diverged")
    assert isinstance(epoch, EpochDone)
    assert isnan(epoch.metrics.train_loss)


def test_a_kind_of_a_newer_service_is_passed_over() -> None:
    assert read_event("moved_house", {}) is None


def test_times_are_seconds_since_the_epoch() -> None:
    assert seconds_of({"at": "1970-01-02T00:00:01.500000Z"}) == 86_401.5
