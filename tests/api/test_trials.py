"""Trials and their curves."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from store import trials
from store.records import TrialOutcome


@pytest.fixture
def api_database_url(database_url: str) -> str:
    return database_url


def test_trials_are_listed_by_stage_without_their_curves(
    http: TestClient, submit: Callable[..., str], runner: Any
) -> None:
    job_id = submit()
    runner.start()
    runner.trial("activations", 0, [0.3, 0.6, 0.5])
    runner.trial("activations", 1, [0.4])
    runner.trial("tune", 0, [0.7])

    first = http.get(f"/v1/jobs/{job_id}/trials?limit=2").json()
    second = http.get(f"/v1/jobs/{job_id}/trials", params={"page_token": first["next_page_token"]}).json()
    tune = http.get(f"/v1/jobs/{job_id}/trials?stage=tune").json()

    assert [(trial["stage"], trial["number"]) for trial in first["items"]] == [("activations", 0), ("activations", 1)]
    assert [(trial["stage"], trial["number"]) for trial in second["items"]] == [("tune", 0)]
    assert tune["items"] == second["items"]
    trial = first["items"][0]
    assert (trial["accuracy"], trial["loss"], trial["config"]) == (0.6, 0.4, {"conv1": "swish"})
    assert trial["state"] == "done"
    assert "epochs_metrics" not in trial
    assert trial["curve"] == f"/v1/jobs/{job_id}/trials/activations/0/curve"


def test_a_trial_tells_what_it_goes_on_with_why_it_was_left_and_who_ran_it(
    http: TestClient, submit: Callable[..., str], runner: Any
) -> None:
    job_id = submit()
    runner.start()
    runner.trial("joint", 0, [0.3])
    outcome = TrialOutcome(loss=0.9, accuracy=0.1, cross_entropy=2.3, best_epoch=1, seconds=0.3, left="one class")
    with runner.database.begin() as tx:
        candidate = {"config": {}, "epochs": 3, "seed": 7, "horizon": 9, "continues": 0}
        trials.record_done(tx, runner.claim.lease, "joint", 1, **candidate, outcome=outcome, recalled="job_1")

    plain, other = http.get(f"/v1/jobs/{job_id}/trials").json()["items"]

    names = ("horizon", "continues", "left", "recalled")
    assert [plain[name] for name in names] == [None, None, None, None]
    assert [other[name] for name in names] == [9, 0, "one class", "job_1"]
    assert (other["state"], other["error"]) == ("done", None)


def test_a_curve_has_each_epoch_and_numbers_count_within_a_stage(
    http: TestClient, submit: Callable[..., str], runner: Any
) -> None:
    job_id = submit()
    runner.start()
    runner.trial("activations", 0, [0.3, 0.6])
    runner.trial("tune", 0, [0.7])

    curve = http.get(f"/v1/jobs/{job_id}/trials/activations/0/curve").json()
    other = http.get(f"/v1/jobs/{job_id}/trials/tune/0/curve").json()

    assert [(epoch["epoch"], epoch["validation_accuracy"]) for epoch in curve["epochs"]] == [(1, 0.3), (2, 0.6)]
    assert [epoch["validation_accuracy"] for epoch in other["epochs"]] == [0.7]


def test_a_trial_that_was_not_run_is_not_found(http: TestClient, submit: Callable[..., str]) -> None:
    response = http.get(f"/v1/jobs/{submit()}/trials/tune/3/curve")

    assert (response.status_code, response.json()["code"]) == (404, "trial_not_found")


def test_a_page_token_of_another_list_is_refused(http: TestClient, submit: Callable[..., str]) -> None:
    job_id = submit()
    submit()
    token = http.get("/v1/jobs?limit=1").json()["next_page_token"]

    response = http.get(f"/v1/jobs/{job_id}/trials", params={"page_token": token})

    assert (response.status_code, response.json()["code"]) == (400, "invalid_page_token")
