"""Jobs with several sparsities over HTTP: the spec, and the downloads of each point."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.exports import Exports
from api.settings import ApiSettings
from safs.client import Client, ServiceError
from store.artifacts import stored_files
from tests.api.conftest import running
from tests.api.test_exports import FakeExporter

FRONT = [0.9, 0.95, 0.99]
FILES = {
    f"{part}@{sparsity}": (content, "application/json" if part == "config" else "application/octet-stream")
    for sparsity in FRONT
    for part, content in (("checkpoint", b"weights at %g" % sparsity), ("config", b'{"at": %g}' % sparsity))
}


@pytest.fixture
def exporter() -> FakeExporter:
    return FakeExporter()


@pytest.fixture
def app(settings: ApiSettings, exporter: FakeExporter) -> Any:
    return create_app(settings, exporter=exporter)


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


@pytest.mark.parametrize("path", ["checkpoint", "exports/onnx"])
@pytest.mark.parametrize("sparsity", ["1", "-0.1", "nan", "high"])
def test_what_is_no_sparsity_is_refused(http: TestClient, job: str, path: str, sparsity: str) -> None:
    assert http.get(f"/v1/jobs/{job}/{path}", params={"sparsity": sparsity}).status_code == 422


def test_a_point_is_exported_from_its_own_files_and_kept_with_the_job(
    http: TestClient, job: str, exporter: FakeExporter, runner: Any
) -> None:
    whole = http.get(f"/v1/jobs/{job}/exports/onnx")
    point = http.get(f"/v1/jobs/{job}/exports/onnx", params={"sparsity": 0.95})
    again = http.get(f"/v1/jobs/{job}/exports/onnx", params={"sparsity": "0.950"})

    assert (point.status_code, exporter.calls) == (200, 2)
    assert exporter.contents[1]["checkpoint.safetensors"] == b"weights at 0.95"
    assert exporter.contents[1]["config.json"] == b'{"at": 0.95}'
    assert exporter.contents[0]["checkpoint.safetensors"] != b"weights at 0.95"
    assert again.headers["etag"] == point.headers["etag"] != whole.headers["etag"]
    with runner.database.read() as tx:
        assert {"export-onnx", "export-onnx@0.95"} <= set(stored_files.of_job(tx, job))


def test_the_recommended_point_is_exported_once_under_either_name(
    http: TestClient, submit: Callable[..., str], runner: Any, exporter: FakeExporter
) -> None:
    job_id = submit(sparsity=FRONT)
    runner.start()
    runner.succeed(FILES | {"checkpoint": FILES["checkpoint@0.95"], "config": FILES["config@0.95"]})

    named, plain = (http.get(f"/v1/jobs/{job_id}/exports/onnx{query}") for query in ("?sparsity=0.95", ""))

    assert named.content == plain.content
    assert exporter.calls == 1


def test_an_export_at_a_sparsity_that_is_no_point_is_refused_with_those_that_are(
    http: TestClient, job: str, exporter: FakeExporter
) -> None:
    response = http.get(f"/v1/jobs/{job}/exports/onnx", params={"sparsity": 0.8})

    assert (response.status_code, response.json()["code"]) == (404, "no_result")
    assert "has no checkpoint at sparsity 0.8; it has 0.9, 0.95, 0.99" in response.json()["detail"]
    assert exporter.calls == 0


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


def test_the_client_lists_the_points_and_exports_one(
    settings: ApiSettings, runner: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exporter: FakeExporter
) -> None:
    points = [{"sparsity": sparsity, "recommended": sparsity == 0.95} for sparsity in FRONT]
    report = {"report": (json.dumps({"front": points}).encode(), "application/json")}
    monkeypatch.setattr("api.app.Exports", lambda database, files, _, root: Exports(database, files, exporter, root))
    with running(settings) as (url, _), Client(url) as client:
        job = client.submit(model={"architecture": "lenet5"}, data={"dataset": "digits"}, sparsity=FRONT)
        runner.start()
        runner.succeed(FILES | report)

        found = job.front()
        folder = job.export("compact", tmp_path, sparsity=0.9)

    assert found == points
    assert json.loads((folder / "config.json").read_text()) == {"at": 0.9}
    assert exporter.contents[0]["checkpoint.safetensors"] == b"weights at 0.9"


def test_a_job_with_one_sparsity_has_no_list_of_points(url: str, runner: Any) -> None:
    with Client(url) as client:
        job = client.submit(model={"architecture": "lenet5"}, data={"dataset": "digits"}, sparsity=0.9)
        runner.start()
        runner.succeed()

        assert job.front() == []
