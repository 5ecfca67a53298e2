"""Submitting, listing, looking at and cancelling jobs, on both kinds of database."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.checks.answers import PREFLIGHT
from api.checks.checker import Checker
from api.schemas.checks import CheckedJob
from api.settings import ApiSettings
from safs.estimates.estimate import estimate
from safs.estimates.stage_costs import Slots
from safs.estimates.stopwatch import Lap
from safs.estimates.timing import Kind, Pace, Timing
from safs.spec.job import JobSpec
from tests.api.conftest import from_this_machine
from tests.checks_in_process import InThisProcess

Submit = Callable[..., str]
MINIMAL = {"model": {"architecture": "lenet5"}, "data": {"dataset": "digits"}, "sparsity": 0.99}


@pytest.fixture
def api_database_url(database_url: str) -> str:
    return database_url


def test_three_sections_are_enough_and_the_preset_fills_the_rest(http: TestClient) -> None:
    response = http.post("/v1/jobs", json=MINIMAL)

    job = response.json()
    assert response.status_code == 202
    assert response.headers["location"] == job["links"]["self"] == f"/v1/jobs/{job['id']}"
    assert (job["state"], job["stage"], job["progress"], job["error"]) == ("queued", None, None, None)
    assert job["spec"]["activations"] == {
        "strategy": "lahc",
        "trials": 22,
        "epochs": 8,
        "portfolio": True,
        "options": {},
        "operators": "all",
        "acon_start": "swish",
        "scope": "site",
    }
    assert http.get(response.headers["location"]).json() == job


def test_validate_only_says_what_was_found_and_queues_nothing(http: TestClient) -> None:
    response = http.post("/v1/jobs?validate_only=true", json=MINIMAL)

    found = response.json()
    assert response.status_code == 200
    # LeNet-5 on 28 pixels and one channel: 6x25 + 16x6x25 + 120x16x25 + 84x120 + 10x84 weights.
    assert (found["channels"], found["classes"], found["weights"]) == (1, 10, 150 + 2400 + 48000 + 10080 + 840)
    assert found["live"] == found["weights"] - round(0.99 * found["weights"])
    assert found["train"] + found["validation"] + found["test"] == 1797
    assert len(found["sites"]) == 4
    assert found["spec"]["final"]["epochs"] == 20
    assert found["spec"]["prune"]["search"]["starts"] == 5
    assert http.get("/v1/jobs").json()["items"] == []


def test_validate_only_has_the_notes_of_the_checks(http: TestClient, settings: ApiSettings) -> None:
    settings.data_folder.mkdir(parents=True)
    images = np.zeros((60, 300, 300), np.uint8)
    images[::2] += 100
    np.savez(settings.data_folder / "large.npz", x=images, y=np.arange(60) % 2)
    own = {"data": {"dataset": "npz", "path": "large.npz"}, "model": {"architecture": "mlp"}}

    found = http.post("/v1/jobs?validate_only=true", json=MINIMAL | own).json()

    note = "Images of 300 pixels a side are resized to 256; set data.image_size for another size."
    assert found["notes"] == [note]


def test_validate_only_counts_what_would_be_trained_also_where_timing_is_turned_off(http: TestClient) -> None:
    response = http.post("/v1/jobs?validate_only=true", json=MINIMAL | {"preset": "paper"})

    estimate = response.json()["estimate"]
    # Dense 200; 22 and twice 20 trials of 80, LAHC 3 more at most; four finalists of 200.
    assert estimate["trials"] == {"expected": 68, "low": 68, "high": 71}
    assert estimate["epochs"]["expected"] == 200 + 62 * 80 + 4 * 200
    assert [stage["stage"] for stage in estimate["stages"]][-2:] == ["final", "report"]
    assert (estimate["seconds"], estimate["gpu_hours"]) == (None, None)
    assert "turned off" in estimate["untimed"]


def test_validate_only_without_timing_starts_no_estimate(settings: ApiSettings) -> None:
    class NeverTimes(Checker):
        def estimate(self, spec: JobSpec, checked: CheckedJob) -> dict[str, Any]:
            raise AssertionError("the trainings were timed")

    checker = NeverTimes(InThisProcess(), estimate_limit_s=10)
    with from_this_machine(create_app(settings, checker=checker)) as http:
        check = http.post("/v1/jobs?validate_only=true&timed=false", json=MINIMAL).json()

    assert check["live"] == 615
    assert check["estimate"]["seconds"] is None
    assert check["estimate"]["trials"]["expected"] == 1 + (5 + 2) + 2 + (9 + 3) + 3


def test_validate_only_says_how_long_the_job_will_take(settings: ApiSettings) -> None:
    pace = Pace(Lap(0.09, 0.1, 0.12), validation_s=0.05, start_s=1.0)

    class Timed(Checker):
        def estimate(self, spec: JobSpec, checked: CheckedJob) -> dict[str, Any]:
            timing = Timing(dict.fromkeys(Kind, pace), "NVIDIA H100", "GPU-1")
            found = PREFLIGHT.validate_python(checked.preflight)
            return estimate(spec, found, [timing], Slots(at_once=4, gpus=0.25)).as_json()

    with from_this_machine(create_app(settings, checker=Timed(InThisProcess(), estimate_limit_s=10))) as http:
        answer = http.post("/v1/jobs?validate_only=true", json=MINIMAL).json()["estimate"]

    assert answer["low_s"] < answer["seconds"] < answer["high_s"]
    assert 0 < answer["gpu_hours"] < answer["seconds"] / 3600
    assert (answer["in_flight"], answer["device"]) == (4, "NVIDIA H100")
    assert answer["step_seconds"] == pytest.approx(0.1)
    assert answer["summary"].startswith("about ")


def test_jobs_of_many_requests_at_once_are_checked(http: TestClient) -> None:
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: http.post("/v1/jobs", json=MINIMAL).status_code, range(6)))

    assert answers == [202] * 6


def test_pages_lead_through_all_jobs_from_the_newest_to_the_oldest(http: TestClient, submit: Submit) -> None:
    ids = [submit(name=f"job {number}") for number in range(5)]

    first = http.get("/v1/jobs", params={"limit": 2}).json()
    late = submit(name="queued while somebody turns pages")
    second = http.get("/v1/jobs", params={"limit": 2, "page_token": first["next_page_token"]}).json()
    third = http.get("/v1/jobs", params={"limit": 2, "page_token": second["next_page_token"]}).json()

    seen = [job["id"] for page in (first, second, third) for job in page["items"]]
    assert seen == ids[::-1]
    assert late not in seen
    assert third["next_page_token"] is None


def test_jobs_are_listed_by_state(http: TestClient, submit: Submit, runner: Any) -> None:
    running, waiting = submit(), submit()
    runner.start()

    assert [job["id"] for job in http.get("/v1/jobs?state=running").json()["items"]] == [running]
    assert [job["id"] for job in http.get("/v1/jobs?state=queued").json()["items"]] == [waiting]


def test_a_job_that_has_not_changed_is_not_sent_again(http: TestClient, submit: Submit, runner: Any) -> None:
    address = f"/v1/jobs/{submit()}"
    first = http.get(address)
    unchanged = http.get(address, headers={"If-None-Match": f'"other", {first.headers["etag"]}'})
    runner.start()
    changed = http.get(address, headers={"If-None-Match": first.headers["etag"]})

    assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", first.headers["etag"])
    assert (changed.status_code, changed.json()["state"]) == (200, "running")
    assert changed.headers["etag"] != first.headers["etag"]


def test_retry_after_is_given_until_the_job_has_ended(http: TestClient, submit: Submit, runner: Any) -> None:
    address = f"/v1/jobs/{submit()}"
    waiting = http.get(address)
    runner.start()
    runner.enter("dense")
    runner.succeed()
    ended = http.get(address)

    assert int(waiting.headers["retry-after"]) > 0
    assert "retry-after" not in ended.headers
    assert "cancel" in waiting.json()["links"]
    assert "checkpoint" not in waiting.json()["links"]
    assert "cancel" not in ended.json()["links"]
    assert http.get(ended.json()["links"]["report"]).status_code == 200


def test_a_job_tells_whose_stages_it_reuses_while_it_runs(http: TestClient, submit: Submit, runner: Any) -> None:
    address = f"/v1/jobs/{submit()}"
    runner.start()
    before = http.get(address).json()["reused"]
    runner.reuse("dense", "job_1")
    runner.reuse("prune", "job_1")

    assert before is None
    assert http.get(address).json()["reused"] == {"dense": ["job_1"], "prune": ["job_1"]}


def test_a_failed_job_says_why_and_where(http: TestClient, submit: Submit, runner: Any) -> None:
    address = f"/v1/jobs/{submit()}"
    runner.start()
    runner.fail("the loss is not finite in epoch 3", "dense")

    job = http.get(address).json()

    assert job["state"] == "failed"
    assert job["error"] == {
        "code": "training_failed",
        "message": "the loss is not finite in epoch 3",
        "stage": "dense",
    }


def test_a_queued_job_is_cancelled_at_once_and_a_running_one_is_asked_to_stop(
    http: TestClient, submit: Submit, runner: Any
) -> None:
    running, waiting = submit(), submit()
    runner.start()

    assert http.post(f"/v1/jobs/{waiting}/cancel").json()["state"] == "cancelled"
    assert http.post(f"/v1/jobs/{running}/cancel").json()["state"] == "cancelling"
    assert http.post(f"/v1/jobs/{running}/cancel").status_code == 200


def test_a_job_that_has_ended_cannot_be_cancelled(http: TestClient, submit: Submit, runner: Any) -> None:
    job_id = submit()
    runner.start()
    runner.succeed()

    response = http.post(f"/v1/jobs/{job_id}/cancel")

    assert (response.status_code, response.json()["code"]) == (409, "incompatible_state")
    assert "succeeded" in response.json()["detail"]
