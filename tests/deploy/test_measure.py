"""Sizes and times of a result."""

import importlib.util
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from safs.deploy import measure
from safs.deploy.equality import Images
from safs.deploy.formats import FORMATS
from safs.deploy.loading import RUNTIMES
from safs.deploy.measure import check_deployable, measure_deployment
from safs.deploy.memory import peak_bytes
from safs.errors import ExportError, MissingExtraError
from safs.spec.deploy import Format, Runtime
from tests.deploy.results import write_result

IMAGES = Images(torch.randn(40, 1, 28, 28, generator=torch.Generator().manual_seed(0)), "validation split")


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_result(tmp_path_factory.mktemp("result"), sparsity=0.99)


def test_a_job_may_name_every_format_and_runtime() -> None:
    assert get_args(Format) == tuple(FORMATS)
    assert get_args(Runtime) == tuple(RUNTIMES)


def test_the_size_is_between_the_bound_and_the_checkpoint(result: Path) -> None:
    found = measure_deployment(result, ["compact"], "torch", IMAGES)

    (compact,) = found.formats
    assert compact.size_bytes is not None
    assert found.bound_bytes < compact.size_bytes < 0.05 * found.checkpoint_bytes
    assert found.checkpoint_bytes == (result / "checkpoint.safetensors").stat().st_size
    assert compact.equality is not None
    assert (compact.equality.images, compact.equality.largest_difference) == (40, 0.0)
    assert (found.times, found.cpu, found.error) == ((), None, None)


@pytest.mark.exhaustive  # It times networks for seconds.
def test_times_are_measured_for_a_batch_of_one_and_of_32(result: Path) -> None:
    found = measure_deployment(result, [], "sparse", IMAGES)

    assert [entry.batch for entry in found.times] == [1, 32]
    assert all(entry.dense_ms > 0 and entry.sparse_ms > 0 for entry in found.times)
    assert all(entry.equality.relative_difference < 1e-4 for entry in found.times)
    assert found.times[0].gain == found.times[0].dense_ms / found.times[0].sparse_ms
    assert found.cpu
    # A checkpoint of 0.25 MB and the activations of 32 images; torch's own buffers and threads vary.
    assert all(0 < (size or 0) < 300e6 for entry in found.times for size in (entry.dense_bytes, entry.sparse_bytes))


def test_memory_that_cannot_be_measured_is_none(tmp_path: Path) -> None:
    assert peak_bytes(tmp_path / "missing", "torch", [1, 32]) == [None, None]


def test_a_failed_export_or_runtime_is_told_and_nothing_is_lost(result: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ExportError("the network calls x")

    monkeypatch.setattr(measure, "export", fail)
    monkeypatch.setattr(measure, "load_with_runtime", fail)

    found = measure_deployment(result, ["onnx"], "sparse", IMAGES)

    (onnx,) = found.formats
    assert (onnx.size_bytes, onnx.equality, onnx.error) == (None, None, "the network calls x")
    assert (found.times, found.error) == ((), "the network calls x")


@pytest.mark.parametrize(
    ("formats", "runtime", "package", "extra"),
    [
        (["onnx"], "torch", "onnxscript", "onnx"),
        (["compact"], "torch", "constriction", "sparse"),
        ([], "sparse", "numba", "sparse"),
    ],
)
def test_a_missing_package_is_noticed_before_anything_is_trained(
    monkeypatch: pytest.MonkeyPatch, formats: list[str], runtime: str, package: str, extra: str
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(measure, "find_spec", lambda name: None if name == package else find(name))

    with pytest.raises(MissingExtraError, match=rf"needs {package}.*\[{extra}\]"):
        check_deployable(formats, runtime)
    check_deployable(["pt2", "torch"], "torch")
