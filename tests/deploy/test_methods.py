"""The networks of real jobs, by every pruning method and of every kind, in every format and by the sparse runtime."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

import safs
from safs.checkpoint import open_result
from safs.deploy.export import export
from safs.deploy.formats import FORMATS
from safs.errors import ExportError
from safs.execution.serial import SerialExecutor
from safs.pipeline.run import run_job
from safs.spec.job import JobSpec
from search_spaces import SPACES
from tests.e2e.test_methods import JOBS
from tests.models.declared.networks import Own

BUDGET: dict[str, Any] = {
    "data": {"dataset": "digits", "batch_size": 64},
    "sparsity": 0.9,
    "preset": "quick",
    "train": {"epochs": 1, "learning_rate": 1e-2},
    "joint": {"trials": 2, "epochs": 1, "options": {"min_epochs": 1}},
    "final": {"epochs": 1, "candidates": ["default", "joint"]},
}


def run(folder: Path, dense: Path | None = None, **sections: Any) -> Path:
    """The result folder of a tiny job."""
    run_job(
        JobSpec.model_validate(BUDGET | sections),
        spaces=SPACES,
        executor=SerialExecutor(),
        report=lambda _: None,
        data_root=None,
        dense_weights=dense,
        out_dir=folder,
    )
    return folder


def check(folder: Path, out: Path, formats: Iterable[str] = FORMATS) -> None:
    """Assert that every export of a result and the sparse runtime have its outputs on its validation split."""
    for name in formats:
        equality = export(folder, name, out / name).equality
        assert (equality.source, equality.equal_predictions) == ("validation split", equality.images), name
    verified = safs.verify(out / "compact")
    assert verified == safs.verify(folder)
    blueprint = open_result(folder).network.blueprint
    images = torch.randn(3, blueprint.channels, blueprint.image_size, blueprint.image_size)
    expected = safs.load(folder)(images)
    assert torch.allclose(safs.load(folder, runtime="sparse")(images), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", JOBS)
def test_the_network_of_every_method_is_exported_in_every_format(tmp_path: Path, name: str) -> None:
    check(run(tmp_path / "result", **JOBS[name]), tmp_path)


@pytest.mark.exhaustive
def test_a_network_that_the_user_brought_is_exported_in_every_format(tmp_path: Path) -> None:
    torch.manual_seed(0)
    file = safs.capture(Own(), (1, 8)).save(tmp_path / "network.safetensors")
    data = {"dataset": "digits", "batch_size": 64, "image_size": 8}

    folder = run(tmp_path / "result", file, model={"network": str(file)}, data=data, sparsity=0.5)

    check(folder, tmp_path, [name for name in FORMATS if name != "c"])
    with pytest.raises(ExportError, match=r"calls aten\.mul\.Tensor, which the format c does not know"):
        export(folder, "c", tmp_path / "c")
