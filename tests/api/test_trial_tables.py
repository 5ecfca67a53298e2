"""All trials of a job in one response: as columns, as CSV, and as a DataFrame."""

import csv
import io
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient

from safs.client import Client
from store import trials
from store.records import TrialOutcome
from tests.api.conftest import ScriptedRunner

Submit = Callable[..., str]


@pytest.fixture
def api_database_url(database_url: str) -> str:
    return database_url


@pytest.fixture
def job_id(submit: Submit, runner: ScriptedRunner) -> str:
    """A running job with a trial of each kind of config, a failed one, one left early, and one that runs."""
    job = submit()
    runner.start()
    ended = [
        ("joint", 0, {"operator:conv1": "swish", "operator:fc1": "elu", "learning_rate_adam": 0.01}, _outcome(0.75)),
        ("activations", 0, {"conv1": "relu", "fc1": "swish"}, _outcome(0.5, left="a poor region, at 50%")),
        ("activations", 1, {"conv1": "elu", "fc1": "elu"}, TrialOutcome(None, error="out of memory")),
        ("final", 0, {"candidate": "default", "repeat": 0}, _outcome(0.875)),
    ]
    with runner.database.begin() as tx:
        for stage, number, config, outcome in ended:
            trials.record_done(tx, runner.claim.lease, stage, number, config=config, epochs=3, seed=7, outcome=outcome)
        trials.record_started(tx, runner.claim.lease, "final", 1, config={"candidate": "safs"}, epochs=3, seed=8)
    return job


def _outcome(accuracy: float, **more: Any) -> TrialOutcome:
    return TrialOutcome(1 - accuracy, accuracy, cross_entropy=0.5, best_epoch=2, seconds=1.5, **more)


def test_the_columns_hold_every_trial_in_the_order_in_which_they_ran(http: TestClient, job_id: str) -> None:
    found = http.get(f"/v1/jobs/{job_id}/trials/columns").json()
    columns = found["columns"]

    assert found["count"] == 5
    assert {len(values) for values in columns.values()} == {5}
    assert [found["stages"][code] for code in columns["stage"]] == [
        *("activations", "activations", "joint", "final", "final"),
    ]
    assert columns["number"] == [0, 1, 0, 0, 1]
    assert [found["states"][code] for code in columns["state"]] == ["done", "failed", "done", "done", "running"]
    assert columns["accuracy"] == [0.5, None, 0.75, 0.875, None]
    assert columns["seconds"] == [1.5, 0.0, 1.5, 1.5, None]
    assert found["reasons"] == ["out of memory", "a poor region, at 50%"]
    assert columns["error"] == [None, 0, None, None, None]
    assert columns["left"] == [1, None, None, None, None]
    assert min(columns["started_s"]) == 0.0
    assert [value is None for value in columns["finished_s"]] == [False, False, False, False, True]


def test_operators_stand_by_site_and_hyperparameters_by_name(http: TestClient, job_id: str) -> None:
    found = http.get(f"/v1/jobs/{job_id}/trials/columns").json()
    names = found["operators"]
    sites = {site: [None if code is None else names[code] for code in codes] for site, codes in found["sites"].items()}

    assert sites == {"conv1": ["relu", "elu", "swish", None, None], "fc1": ["swish", "elu", "elu", None, None]}
    assert found["hyperparameters"] == {
        "learning_rate_adam": [None, None, 0.01, None, None],
        "candidate": [None, None, None, "default", "safs"],
        "repeat": [None, None, None, 0, None],
    }


def test_one_stage_can_be_had_alone_and_a_job_without_trials_has_empty_columns(
    http: TestClient, job_id: str, submit: Submit
) -> None:
    final = http.get(f"/v1/jobs/{job_id}/trials/columns?stage=final").json()
    none = http.get(f"/v1/jobs/{submit()}/trials/columns").json()

    assert (final["count"], final["columns"]["accuracy"], final["sites"]) == (2, [0.875, None], {})
    assert (none["count"], none["origin_at"], none["columns"]["stage"]) == (0, None, [])


def test_columns_that_are_known_are_not_sent_again(http: TestClient, job_id: str) -> None:
    for address in (f"/v1/jobs/{job_id}/trials/columns", f"/v1/jobs/{job_id}/trials.csv"):
        etag = http.get(address).headers["ETag"]

        assert http.get(address, headers={"If-None-Match": etag}).status_code == 304


def test_the_csv_is_a_table_of_every_trial(http: TestClient, job_id: str) -> None:
    response = http.get(f"/v1/jobs/{job_id}/trials.csv")
    rows = list(csv.DictReader(io.StringIO(response.text)))

    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.headers["Content-Disposition"] == f'attachment; filename="{job_id}-trials.csv"'
    assert [(row["stage"], row["number"]) for row in rows] == [
        ("activations", "0"),
        ("activations", "1"),
        ("joint", "0"),
        ("final", "0"),
        ("final", "1"),
    ]
    assert [row["accuracy"] for row in rows] == ["0.5", "", "0.75", "0.875", ""]
    assert rows[0]["left"] == "a poor region, at 50%"
    assert [row["operator:conv1"] for row in rows] == ["relu", "elu", "swish", "", ""]
    assert [row["learning_rate_adam"] for row in rows] == ["", "", "0.01", "", ""]
    assert all(datetime.fromisoformat(row["started_at"]).tzinfo is not None for row in rows)


def test_a_data_frame_has_the_values_of_the_trials(url: str, job_id: str) -> None:
    with Client(url) as client:
        frame = client.job(job_id).trials_frame()
        listed = list(client.job(job_id).trials())

    assert list(frame["stage"]) == [trial["stage"] for trial in listed]
    assert list(frame["operator:conv1"].astype(object).where(frame["operator:conv1"].notna(), None)) == [
        *("relu", "elu", "swish", None, None),
    ]
    assert frame["accuracy"].max() == 0.875
    assert frame.groupby("stage", observed=True)["number"].count().to_dict() == {
        "activations": 2,
        "joint": 1,
        "final": 2,
    }
    for at, trial in zip(frame["started_at"], listed, strict=True):
        assert abs((at.to_pydatetime() - datetime.fromisoformat(trial["started_at"])).total_seconds()) < 0.002


def test_the_frame_of_a_job_without_trials_is_empty(url: str, submit: Submit) -> None:
    with Client(url) as client:
        assert client.job(submit()).trials_frame().empty


def test_trials_are_filtered_by_state_and_sorted_by_the_database(http: TestClient, job_id: str) -> None:
    best = http.get(f"/v1/jobs/{job_id}/trials?order=best&limit=2").json()
    rest = http.get(f"/v1/jobs/{job_id}/trials", params={"order": "best", "page_token": best["next_page_token"]}).json()
    failed = http.get(f"/v1/jobs/{job_id}/trials?state=failed").json()["items"]
    wrong = http.get(f"/v1/jobs/{job_id}/trials", params={"page_token": best["next_page_token"]})

    assert [trial["accuracy"] for trial in best["items"]] == [0.875, 0.75]
    assert [trial["accuracy"] for trial in rest["items"]] == [0.5, None, None]
    assert [trial["error"] for trial in failed] == ["out of memory"]
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid_page_token")


def test_the_columns_of_another_owner_are_not_found(
    http: TestClient, job_id: str, make_key: Callable[..., dict[str, str]]
) -> None:
    headers = make_key("other", "read")

    for address in (f"/v1/jobs/{job_id}/trials/columns", f"/v1/jobs/{job_id}/trials.csv"):
        assert http.get(address, headers=headers).json()["code"] == "job_not_found"
