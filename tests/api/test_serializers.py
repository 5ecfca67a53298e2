"""Answers are made without checks, so here they are held against what the document says of them."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel

from api import serializers
from api.schemas import events, jobs, trials
from safs.spec.job import JobSpec
from store.records import CurvePoint, Event, Job, JobError, JobState, Trial, TrialOutcome, TrialState
from tests.api.conftest import MINIMAL, RESULT

AT = datetime(2026, 11, 22, 12, 30, 0, 123000, tzinfo=UTC)
POINTS = (CurvePoint(1, 0.5, None, 0.9, 1e-3, 0.25), CurvePoint(2, float("nan"), 0.4, None, None, 0.0))
PROGRESS = {
    "stage": "tune",
    "stage_number": 2,
    "stages": 3,
    "trials_done": 1,
    "trials": 4,
    "best_accuracy": None,
    "epochs_done": 7,
    "elapsed_s": 1.5,
    "remaining_s": None,
    "fraction": 0.25,
}


def job(state: JobState) -> Job:
    failed, queued = state is JobState.FAILED, state is JobState.QUEUED
    return Job(
        id="job_01",
        name="a job",
        spec=JobSpec.model_validate(MINIMAL).model_dump(mode="json"),
        state=state,
        stage=None if queued else "tune",
        progress=None if queued else PROGRESS,
        attempt=0 if queued else 1,
        max_attempts=3,
        worker=None,
        created_at=AT,
        started_at=None if queued else AT,
        finished_at=AT if state.is_final else None,
        result=RESULT if state is JobState.SUCCEEDED else None,
        error=JobError("out_of_space", "the disk is full", "tune") if failed else None,
        reused=None if queued else {"dense": ["job_00"]},
        owner=None if queued else "vision",
        traceparent=None,
        runners_lost=1,
        workers_lost=2,
        trials_repeated=3,
        seconds_lost=4.5,
        event_count=6,
        cores_awaited={JobState.QUEUED: None, JobState.RUNNING: 0}.get(state, 2),
        jobs_before=None if queued else 1,
    )


def trial(state: TrialState, outcome: TrialOutcome | None) -> Trial:
    ended = AT if outcome else None
    return Trial("job_01", "tune", 4, {"lr": 0.1}, 8, 0, state, outcome, AT, ended, None, 3, None)


OUTCOME = TrialOutcome(0.1, 0.9, 0.4, 7, 3.5, None, "no gain in sight")
BROKEN = TrialOutcome(None, error="the loss is not finite")
ANSWERS: list[tuple[type[BaseModel], Any]] = [
    *((jobs.Job, serializers.job(job(state))) for state in JobState),
    (trials.Trial, serializers.trial(trial(TrialState.RUNNING, None))),
    (trials.Trial, serializers.trial(trial(TrialState.DONE, OUTCOME))),
    (trials.Trial, serializers.trial(trial(TrialState.FAILED, BROKEN))),
    (trials.Curve, serializers.curve("tune", 4, POINTS)),
    (trials.Curve, serializers.curve("tune", 4, ())),
    (events.EventPage, serializers.events([Event(1, "note", AT, {"message": "begun"}), Event(2, "note", AT, {})], 1)),
    (events.EventPage, serializers.events((), 1)),
    (jobs.JobPage, serializers.page([serializers.job(job(JobState.QUEUED))], "token")),
]


def test_a_job_waits_only_if_the_number_of_cores_is_known() -> None:
    waiting = {state: serializers.job(job(state))["waiting"] for state in JobState}

    assert waiting[JobState.CANCELLING] == {"cores": 2, "jobs_before": 1}
    assert (waiting[JobState.QUEUED], waiting[JobState.RUNNING]) == (None, None)


@pytest.mark.parametrize(("view", "answer"), ANSWERS)
def test_an_answer_has_what_the_document_says_and_nothing_else(view: type[BaseModel], answer: Any) -> None:
    text = serializers.dump(answer)

    assert view.model_validate_json(text).model_dump(mode="json") == json.loads(text)


def test_numbers_that_json_has_no_word_for_are_null() -> None:
    assert b'"train_loss":null' in serializers.dump(POINTS[1])


def test_a_job_links_to_what_there_is_now() -> None:
    links = {state: set(serializers.job(job(state))["links"]) for state in JobState}

    assert links[JobState.QUEUED] == links[JobState.RUNNING] == {"self", "trials", "events", "cancel"}
    assert links[JobState.FAILED] == {"self", "trials", "events"}
    assert links[JobState.SUCCEEDED] == {"self", "trials", "events", *serializers.RESULTS}


def test_a_trial_says_what_its_outcome_says() -> None:
    told = serializers.trial(trial(TrialState.DONE, OUTCOME))

    assert (told["loss"], told["seconds"], told["left"]) == (0.1, 3.5, "no gain in sight")
    assert told["curve"] == "/v1/jobs/job_01/trials/tune/4/curve"


def test_a_page_of_events_tells_where_the_next_begins() -> None:
    found = [Event(number, "note", AT, {}) for number in (5, 6, 7)]

    assert serializers.events(found, 2)["next_after"] == 6
    assert serializers.events(found, 3)["next_after"] is None
