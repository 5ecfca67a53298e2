"""Exports over HTTP: made once, served like the other files, and problems that say what is wrong."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.exports import Exports
from api.settings import ApiSettings
from safs.client import Client
from safs.errors import ExportError, MissingExtraError, OutputError
from safs.result_folder import RESULT_FILES
from store.artifacts import stored_files
from tests.api.conftest import FILES, MINIMAL, ScriptedRunner, from_this_machine, running
from tests.deploy.results import write_result


class FakeExporter:
    """Writes the format's name, and the names of the files that it was given, whose contents it keeps."""

    def __init__(self) -> None:
        self.calls = 0
        self.contents: list[dict[str, bytes]] = []
        self.error: Exception | None = None
        self.may_end = threading.Event()
        self.may_end.set()

    def __call__(self, files: Mapping[str, Path], format: str, target: Path, *, data_root: Path | None) -> None:
        self.calls += 1
        assert self.may_end.wait(60)
        if self.error is not None:
            raise self.error
        self.contents.append({name: path.read_bytes() for name, path in files.items()})
        target.write_text(f"{format} of {', '.join(sorted(files))}" + f", export {self.calls}" * (self.calls > 1))


@pytest.fixture
def exporter() -> FakeExporter:
    return FakeExporter()


@pytest.fixture
def app(settings: ApiSettings, exporter: FakeExporter) -> Any:
    return create_app(settings, exporter=exporter)


@pytest.fixture
def job(submit: Callable[..., str], runner: ScriptedRunner) -> str:
    """The address of a job that has succeeded."""
    job_id = submit()
    runner.start()
    runner.succeed()
    return f"/v1/jobs/{job_id}"


def test_an_export_is_made_once_and_served_like_the_other_files(
    http: TestClient, job: str, exporter: FakeExporter
) -> None:
    first = http.get(f"{job}/exports/onnx")
    again = http.get(f"{job}/exports/onnx")

    assert first.status_code == 200
    assert first.content == b"onnx of checkpoint.safetensors, config.json, report.json, report.png"
    assert (again.content, exporter.calls) == (first.content, 1)
    assert first.headers["etag"] == f'"{sha256(first.content).hexdigest()}"'
    assert first.headers["content-disposition"] == 'attachment; filename="network.onnx"'
    part = http.get(f"{job}/exports/onnx", headers={"Range": "bytes=0-3"})
    assert (part.status_code, part.content) == (206, b"onnx")
    unchanged = http.get(f"{job}/exports/onnx", headers={"If-None-Match": first.headers["etag"]})
    assert unchanged.status_code == 304


def test_each_format_is_a_file_of_its_own(http: TestClient, job: str, exporter: FakeExporter) -> None:
    texts = {name: http.get(f"{job}/exports/{name}").text.partition(" ")[0] for name in ("compact", "pt2", "torch")}

    assert texts == {"compact": "compact", "pt2": "pt2", "torch": "torch"}
    assert http.get(f"{job}/exports/torch").headers["content-type"] == "application/zip"
    assert exporter.calls == 3


def test_an_export_is_deleted_with_its_job(http: TestClient, job: str, runner: ScriptedRunner) -> None:
    http.get(f"{job}/exports/onnx")

    with runner.database.read() as tx:
        files = stored_files.of_job(tx, job.rpartition("/")[2])

    assert set(files) == {*FILES, "export-onnx"}  # rows that retention, backup and scrub treat alike


def test_an_unknown_format_is_refused_with_the_known_ones(http: TestClient, job: str) -> None:
    response = http.get(f"{job}/exports/onx")

    assert (response.status_code, response.json()["code"]) == (422, "unknown_name")
    assert "Did you mean 'onnx'" in response.json()["detail"]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ExportError("the network calls x"), 422, "export_failed"),
        (MissingExtraError("an export to ONNX", "onnxscript", "onnx"), 501, "missing_extra"),
        (OutputError("/tmp is full"), 507, "output_unavailable"),
    ],
)
def test_an_export_that_fails_is_a_problem_and_can_be_requested_again(
    http: TestClient, job: str, exporter: FakeExporter, error: Exception, status: int, code: str
) -> None:
    exporter.error = error
    refused = http.get(f"{job}/exports/onnx")
    exporter.error = None

    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert str(error) in refused.json()["detail"]
    assert http.get(f"{job}/exports/onnx").status_code == 200


def test_a_request_that_missed_the_end_of_an_export_gets_its_file(
    http: TestClient, job: str, exporter: FakeExporter, app: Any
) -> None:
    exports: Exports = app.state.services.exports
    http.get(f"{job}/exports/onnx")

    again = asyncio.run(exports.make(job.rpartition("/")[2], "onnx", None))

    assert again.name == "export-onnx"
    assert exporter.calls == 1


def test_an_export_that_takes_long_is_busy_and_ready_later(
    http: TestClient, job: str, exporter: FakeExporter, app: Any
) -> None:
    exports: Exports = app.state.services.exports
    exports._max_wait_s = 0.05
    exporter.may_end.clear()

    waiting = http.get(f"{job}/exports/onnx")
    exporter.may_end.set()
    exports._max_wait_s = 60
    ready = http.get(f"{job}/exports/onnx")

    assert (waiting.status_code, waiting.json()["code"], waiting.json()["retryable"]) == (503, "busy", True)
    assert (ready.status_code, exporter.calls) == (200, 1)


def test_a_job_that_has_not_ended_has_no_export_yet(
    http: TestClient, submit: Callable[..., str], runner: ScriptedRunner
) -> None:
    job_id = submit()
    runner.start()

    response = http.get(f"/v1/jobs/{job_id}/exports/onnx")

    assert (response.status_code, response.json()["code"]) == (409, "job_not_finished")


def test_a_job_that_failed_has_no_export(
    http: TestClient, submit: Callable[..., str], runner: ScriptedRunner, exporter: FakeExporter
) -> None:
    job_id = submit()
    runner.start()
    runner.fail("broke down", "dense")

    response = http.get(f"/v1/jobs/{job_id}/exports/onnx")

    assert (response.status_code, response.json()["code"]) == (404, "no_result")
    assert "broke down" in response.json()["detail"]
    assert exporter.calls == 0


@pytest.fixture
def real(settings: ApiSettings) -> Iterator[TestClient]:
    """An app that exports in a process of its own."""
    with from_this_machine(create_app(settings)) as client:
        yield client


def test_a_real_result_is_exported_in_a_process_of_its_own(
    real: TestClient, runner: ScriptedRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_result(tmp_path / "result")
    files = {
        name: ((folder / RESULT_FILES[name].filename).read_bytes(), RESULT_FILES[name].media_type)
        for name in ("checkpoint", "config")
    }
    monkeypatch.setattr("tests.api.conftest.FILES", files)
    spec = {"model": {"architecture": "lenet5"}, "data": {"dataset": "digits"}, "sparsity": 0.9}
    job_id = real.post("/v1/jobs", json=spec).json()["id"]
    runner.start()
    runner.succeed()

    response = real.get(f"/v1/jobs/{job_id}/exports/torch")

    assert response.status_code == 200, response.text
    with ZipFile(BytesIO(response.content)) as archive:
        assert archive.namelist() == ["network.py", "checkpoint.safetensors"]
        assert "class Network(Layers):" in archive.read("network.py").decode()


def test_the_client_downloads_an_export_and_unpacks_a_zip(
    settings: ApiSettings, runner: ScriptedRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def zipped(files: Mapping[str, Path], format: str, target: Path, *, data_root: Path | None) -> None:
        with ZipFile(target, "w") as archive:
            for name in ("network.py", "checkpoint.safetensors", "../outside"):
                archive.writestr(name, f"{name} of {format}")

    monkeypatch.setattr("api.app.Exports", lambda database, files, _, root: Exports(database, files, zipped, root))
    with running(settings) as (url, _), Client(url) as client:
        job = client.submit(MINIMAL)
        runner.start()
        runner.succeed()

        compact = job.export("compact", tmp_path / "compact")
        plain = job.export("torch", tmp_path / "plain")

    assert {path.name for path in compact.iterdir()} == {"checkpoint.compact.safetensors", "config.json"}
    assert (compact / "config.json").read_bytes() == FILES["config"][0]
    assert {path.name: path.read_text() for path in plain.iterdir()} == {
        "network.py": "network.py of torch",
        "checkpoint.safetensors": "checkpoint.safetensors of torch",
    }
    assert not (tmp_path / "outside").exists()
