"""Jobs with several sparsities over HTTP: the spec, and the downloads of each point."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from safs.client import Client, ServiceError

FRONT = [0.9, 0.95, 0.99]
FILES = {
    f"{part}@{sparsity}": (content, "application/json" if part == "config" else "application/octet-stream")
    for sparsity in FRONT
    for part, content in (("checkpoint", b"weights at %g" % sparsity), ("config", b'{"at": %g}' % sparsity))
}


@pytest.fixture
def job(submit: Callable[..., str], runner: Any) -> str:
    """The id of a job with three sparsities that has succeeded."""
    job_id = submit(sparsity=FRONT)
    runner.start()
    runner.succeed(FILES)
    return job_id


def test_a_list_of_sparsities_is_stored_as_a_front(http: TestClient, submit: Callable[..., str]) -> None:
    spec = http.get(f"/v1/jobs/{submit(sparsity=[0.99, 0.9])}").json()["spec"]

    assert (spec["sparsity"], spec["front"]) == (0.99, [0.9, 0.99])


def test_a_wrong_entry_of_the_list_is_named(http: TestClient) -> None:
    body = {"model": {"architecture": "lenet5"}, "data": {"dataset": "digits"}, "sparsity": [0.9, 1.5]}

    response = http.post("/v1/jobs", json=body)

    assert response.status_code == 422
    assert [error["field"] for error in response.json()["errors"]] == ["sparsity.1"]


@pytest.mark.parametrize("sparsity", ["0.95", "0.950", "9.5e-1"])
def test_each_point_has_a_checkpoint_and_a_configuration(http: TestClient, job: str, sparsity: str) -> None:
    checkpoint = http.get(f"/v1/jobs/{job}/checkpoint", params={"sparsity": sparsity})
    config = http.get(f"/v1/jobs/{job}/config", params={"sparsity": sparsity})

    assert (checkpoint.status_code, checkpoint.content) == (200, b"weights at 0.95")
    assert config.json() == {"at": 0.95}


def test_a_sparsity_that_is_no_point_is_refused_with_those_that_are(http: TestClient, job: str) -> None:
    response = http.get(f"/v1/jobs/{job}/checkpoint", params={"sparsity": 0.8})

    assert (response.status_code, response.json()["code"]) == (404, "no_result")
    assert "it has 0.9, 0.95, 0.99" in response.json()["detail"]


@pytest.mark.parametrize("sparsity", ["1", "-0.1", "nan", "high"])
def test_what_is_no_sparsity_is_refused(http: TestClient, job: str, sparsity: str) -> None:
    assert http.get(f"/v1/jobs/{job}/checkpoint", params={"sparsity": sparsity}).status_code == 422


def test_a_job_with_one_sparsity_has_that_point_alone(
    http: TestClient, submit: Callable[..., str], runner: Any
) -> None:
    job_id = submit(sparsity=0.9)
    runner.start()
    runner.succeed()

    whole, own, other = (
        http.get(f"/v1/jobs/{job_id}/checkpoint{query}") for query in ("", "?sparsity=0.9", "?sparsity=0.8")
    )

    assert own.content == whole.content
    assert other.status_code == 404


def test_the_client_downloads_a_point(url: str, runner: Any, tmp_path: Path) -> None:
    with Client(url) as client:
        job = client.submit(model={"architecture": "lenet5"}, data={"dataset": "digits"}, sparsity=FRONT)
        runner.start()
        runner.succeed(FILES)

        folder = job.download(tmp_path, sparsity=0.95)

        assert (folder / "checkpoint.safetensors").read_bytes() == b"weights at 0.95"
        assert json.loads((folder / "config.json").read_text()) == job.config(sparsity=0.95) == {"at": 0.95}
        with pytest.raises(ServiceError, match=r"it has 0\.9, 0\.95, 0\.99"):
            job.download(tmp_path, sparsity=0.5)
