"""A client that openapi-python-client generates from the document sends the jobs that its user wrote."""

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any

import httpx
import pytest

from api.app import create_app
from api.server import Server, make_server
from api.settings import ApiSettings
from safs.spec.presets import METHODS, PRESETS
from tests.api.conftest import MINIMAL

ONE_FIELD: dict[str, dict[str, Any]] = {
    "train": {"epochs": 3},
    "prune": {"epochs": 0},
    "activations": {"trials": 3},
    "tune": {"trials": 3},
    "joint": {"trials": 3},
    "final": {"epochs": 3},
}
"""For each section that a preset fills: one field of it."""


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The generated package; generating it gives no warning, so nothing of the document is left out."""
    folder = tmp_path_factory.mktemp("generated")
    (folder / "openapi.json").write_text(json.dumps(create_app(ApiSettings(home=folder)).openapi()))
    # Hooks would format the code; the picture is not of a type that the generator knows as a file.
    (folder / "config.yml").write_text(
        'post_hooks: []\ncontent_type_overrides: {"image/png": application/octet-stream}'
    )
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none", "--fail-on-warning"]
    done = subprocess.run(
        [*command, "--path", "openapi.json", "--config", "config.yml", "--output-path", "safs_generated"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout + done.stderr
    sys.path.insert(0, str(folder))
    try:
        yield import_module("safs_generated")
    finally:
        sys.path.remove(str(folder))


@pytest.fixture
def unchecked_url(settings: ApiSettings) -> Iterator[str]:
    """The address of a server that queues every job without checking it against its data."""
    server: Server = make_server(settings)
    services = server.config.app.state.services  # type: ignore[union-attr]
    services.checker.check = lambda spec, **_: None
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def _stored(url: str, body: dict[str, Any]) -> dict[str, Any]:
    """The spec that the service stores of a job that curl sent as plain JSON; httpx sends it where curl is missing."""
    if curl := shutil.which("curl"):
        headers = ["--header", "Content-Type: application/json"]
        command = [curl, "--silent", "--fail-with-body", *headers, "--data", json.dumps(body), f"{url}/v1/jobs"]
        answer = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    else:
        answer = httpx.post(f"{url}/v1/jobs", json=body).raise_for_status().json()
    spec: dict[str, Any] = answer["spec"]
    return spec


def _stored_by(generated: ModuleType, url: str, **sections: Any) -> dict[str, Any]:
    """The spec that the service stores of a job that the generated client sent."""
    submit = import_module(f"{generated.__name__}.api.jobs.submit_job")
    models = import_module(f"{generated.__name__}.models")
    request = models.JobRequest(
        model=models.ModelSpec(architecture="lenet5"), data=models.DataSpec(dataset="digits"), sparsity=0.99, **sections
    )
    with generated.Client(base_url=url) as client:
        job = submit.sync(client=client, body=request)
    assert isinstance(job, models.Job), job
    spec: dict[str, Any] = httpx.get(f"{url}/v1/jobs/{job.id}").json()["spec"]
    assert job.spec.to_dict() == spec
    return spec


def test_each_method_is_stored_as_the_same_job_sent_by_curl(generated: ModuleType, unchecked_url: str) -> None:
    models = import_module(f"{generated.__name__}.models")
    for method in METHODS:
        stored = _stored_by(generated, unchecked_url, prune=models.PruneSpec(method=method))

        assert stored == _stored(unchecked_url, MINIMAL | {"prune": {"method": method}}), method


@pytest.mark.parametrize("preset", PRESETS)
def test_each_preset_with_one_field_is_stored_as_the_same_job_sent_by_curl(
    generated: ModuleType, unchecked_url: str, preset: str
) -> None:
    models = import_module(f"{generated.__name__}.models")
    for section, fields in ONE_FIELD.items():
        model = getattr(models, f"{section.capitalize()}Spec")
        chosen = {"preset": models.JobRequestPreset(preset), section: model(**fields)}

        stored = _stored_by(generated, unchecked_url, **chosen)

        assert stored == _stored(unchecked_url, MINIMAL | {"preset": preset, section: fields}), section


def test_the_generated_names_read_well(generated: ModuleType) -> None:
    folder = Path(str(generated.__file__)).parent
    operations = {file.stem for file in (folder / "api").rglob("*.py")}
    models = set(import_module(f"{generated.__name__}.models").__all__)

    assert {"submit_job", "get_job", "list_jobs", "cancel_job", "list_trials", "get_checkpoint"} <= operations
    assert {"Job", "JobPage", "JobSpec", "JobRequest", "JobResult", "Trial", "TrialPage", "Stage", "Problem"} <= models
    assert [name for name in models if "_" in name or "ResponseGet" in name or "Page" in name[:-4]] == []


def test_results_trials_and_lists_are_typed(generated: ModuleType, url: str, runner: Any, tmp_path: Path) -> None:
    """Every kind of file arrives whole, and a job, a list and a trial have typed parts."""
    package = generated.__name__
    models = import_module(f"{package}.models")
    job_id = httpx.post(f"{url}/v1/jobs", json=MINIMAL).json()["id"]
    runner.start()
    runner.enter("tune")
    runner.trial("tune", 0, [0.5])
    runner.succeed()

    with generated.Client(base_url=url) as client:
        job = import_module(f"{package}.api.jobs.get_job").sync(job_id, client=client)
        page = import_module(f"{package}.api.jobs.list_jobs").sync(client=client)
        trials = import_module(f"{package}.api.trials.list_trials").sync(job_id, client=client)
        events = import_module(f"{package}.api.events.list_events").sync(job_id, client=client, last_event_id="1")
        files = {
            name: import_module(f"{package}.api.results.get_{name}").sync(job_id, client=client)
            for name in ("checkpoint", "picture", "config", "report")
        }

    assert (job.stage, job.spec.model.architecture, job.spec.sparsity) == (models.Stage.TUNE, "lenet5", 0.99)
    assert isinstance(job.result, models.JobResult)
    assert [one.id for one in page.items] == [job_id]
    assert [(one.stage, one.accuracy) for one in trials.items] == [(models.Stage.TUNE, 0.5)]
    assert isinstance(events, models.EventPage)
    for name in ("checkpoint", "picture"):
        assert files[name].payload.read() == httpx.get(f"{url}/v1/jobs/{job_id}/{name}").content
    for name in ("config", "report"):
        assert files[name].to_dict() == httpx.get(f"{url}/v1/jobs/{job_id}/{name}").json()
