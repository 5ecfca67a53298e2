"""A user's own data on their way: packed by the client, sent by HTTP, trained on by a runner, and by ``safs run``."""

from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

import safs
from api.settings import ApiSettings
from migrations import upgrade
from safs.client import Client, ServiceError
from safs.models import build
from store.session import Database
from tests.api.conftest import running
from tests.api.uploads.data_sets import blobs, folders
from tests.resume.attempts import SerialRunner
from workers.settings import WorkerSettings

SHORT: dict[str, Any] = {
    "model": {"architecture": "mlp"},
    "sparsity": 0.8,
    "train": {"epochs": 2},
    "activations": {"trials": 2, "epochs": 1},
    "final": {"epochs": 1, "candidates": ["default", "activations"]},
}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[Client, SerialRunner]]:
    """A client of a real server, and the runner beside it."""
    url = f"sqlite:///{tmp_path}/safs.db"
    upgrade(url)
    settings = ApiSettings(home=tmp_path, database_url=url, free_disk_bytes=0, estimate_limit_s=0)
    database = Database(url)
    with running(settings) as (address, _), Client(address) as client:
        yield client, SerialRunner(WorkerSettings(home=tmp_path, database_url=url), database, Event())
    database.dispose()


def test_arrays_of_the_user_are_trained_on_and_the_result_knows_their_classes(
    service: tuple[Client, SerialRunner], tmp_path: Path
) -> None:
    client, runner = service

    job = client.submit(SHORT, data=(*blobs(120), *blobs(30, seed=1)))
    assert runner.run_one()
    folder = job.wait().download(tmp_path / "result")

    assert job.view["spec"]["data"]["dataset"] == "upload"
    assert safs.load(folder)(safs_images()).shape == (5, 3)


def safs_images() -> Any:
    """Five images as the network takes them."""
    import torch

    return torch.zeros(5, 1, 12, 12)


def test_a_folder_of_the_user_is_trained_on_and_nothing_of_it_stays_unpacked(
    service: tuple[Client, SerialRunner], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, runner = service
    for name, content in folders(each=20).items():
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(content)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))

    job = client.submit(SHORT, data=tmp_path / "photos")
    assert runner.run_one()

    assert job.wait().state == "succeeded"
    assert list((tmp_path / "temporary").iterdir()) == []


def test_sparse_weights_are_pruned_further_by_http(service: tuple[Client, SerialRunner], tmp_path: Path) -> None:
    client, runner = service
    state = build("mlp", channels=1, classes=10, image_size=8, seed=1).state_dict()
    weights = [name for name, value in state.items() if value.dim() > 1]
    for name in weights:
        state[name][:, ::2] = 0.0
    save_file(state, tmp_path / "sparse.safetensors")
    prune = {"schedule": "one_shot", "distribution": "global", "keep_zeros": True}
    job_spec = SHORT | {"data": {"dataset": "digits", "image_size": 8}, "prune": prune}

    with pytest.raises(ServiceError, match=r"are zero at the start, which prune\.keep_zeros holds"):
        client.check(job_spec | {"sparsity": 0.3}, weights=tmp_path / "sparse.safetensors")
    job = client.submit(job_spec, weights=tmp_path / "sparse.safetensors")
    assert runner.run_one()
    folder = job.wait().download(tmp_path / "result")

    found = load_file(folder / "checkpoint.safetensors")
    assert not any(bool(found[name][:, ::2].any()) for name in weights)
    assert safs.verify(folder).sparsity.sparsity == pytest.approx(0.8, abs=1e-4)
    assert "(50.00%) are zero and stay zero" in (folder / "report.json").read_text()
