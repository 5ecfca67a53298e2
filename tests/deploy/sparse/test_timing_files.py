"""Timings kept on disk: read by the next process, never trusted blindly, and never in the way."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

import safs
from safs.deploy.sparse import dense_engine, runtime, timing_files
from safs.deploy.sparse.runtime import SparseNetwork
from safs.deploy.sparse.steps import Convolution
from tests.deploy.results import LENET, write_result
from tests.deploy.sparse.test_runtime import images


def _load(folder: Path) -> SparseNetwork:
    network = safs.load(folder, runtime="sparse")
    assert isinstance(network, SparseNetwork)
    return network


def _never(*given: object) -> float:
    raise AssertionError("layers were timed again")


@pytest.fixture
def result(tmp_path: Path) -> Path:
    return write_result(tmp_path / "result", sparsity=0.98)


def test_what_was_fastest_is_used_by_the_next_process_without_timing(
    result: Path, timings_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = _load(result)
    expected = first(images(LENET))
    assert len(list(timings_folder.glob("*.json"))) == 1

    monkeypatch.setattr(runtime, "seconds_of", _never)
    monkeypatch.setattr(runtime, "cold_seconds", _never)
    second = _load(result)

    assert torch.allclose(second(images(LENET)), expected, atol=1e-5)
    assert second.timings == first.timings


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", json.dumps({"engine": "eval", "plan": []}), "\0"])
def test_a_damaged_file_is_measured_again(result: Path, timings_folder: Path, content: str) -> None:
    _load(result)(images(LENET))
    (file,) = timings_folder.glob("*.json")
    file.write_text(content)

    network = _load(result)
    network(images(LENET))

    assert len(network.timings) == 1
    assert json.loads(file.read_text())["engine"] in runtime.ENGINES


def test_another_network_another_shape_and_other_threads_are_measured_by_themselves(
    result: Path, tmp_path: Path, timings_folder: Path
) -> None:
    network = _load(result)
    network(images(LENET, 1))
    network(images(LENET, 2))
    _load(write_result(tmp_path / "other", sparsity=0.9))(images(LENET, 1))

    assert len(list(timings_folder.glob("*.json"))) == 3


def test_a_kernel_that_became_wrong_is_found_though_the_file_chose_it(tmp_path: Path, timings_folder: Path) -> None:
    result = write_result(tmp_path)  # at a high sparsity, the outputs may not depend on the convolutions
    network = _load(result)
    network(images(LENET))
    (file,) = timings_folder.glob("*.json")
    chosen = {"engine": "chain", "plan": network.plan("sparse")}
    file.write_text(json.dumps(json.loads(file.read_text()) | chosen))
    network = _load(result)
    for step in network.steps:
        if isinstance(step, Convolution) and step.sparse is not None:
            step.sparse._bias += 1  # a broken kernel

    with pytest.warns(RuntimeWarning, match=r"compute something else"):
        logits = network(images(LENET))

    assert torch.allclose(logits, safs.load(result)(images(LENET)), atol=1e-4)


def test_a_folder_that_cannot_be_written_and_a_full_disk_change_nothing(
    result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SAFS_TIMINGS", str(tmp_path / "file" / "timings"))

    assert torch.allclose(_load(result)(images(LENET)), safs.load(result)(images(LENET)), atol=1e-4)
    assert timing_files.read(tmp_path) is None


@pytest.mark.exhaustive
@pytest.mark.parametrize("engine", dense_engine.DENSE_ENGINES)
def test_a_dense_engine_is_used_where_it_is_fastest_and_its_file_is_kept(
    result: Path, timings_folder: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    pytest.importorskip(engine, reason="no part of any extra, measured where it is installed")
    monkeypatch.setattr(runtime, "is_installed", dense_engine.is_installed)
    monkeypatch.setattr(runtime, "_CLEAR_GAIN", float("inf"))
    monkeypatch.setattr(runtime, "seconds_of", partial(_prefers, engine))
    monkeypatch.setattr(runtime, "cold_seconds", lambda runs, seconds, dense: seconds)
    network = _load(result)

    logits = network(images(LENET))

    (timings,) = network.timings.values()
    assert timings.engine == engine
    assert torch.allclose(logits, safs.load(result)(images(LENET)), atol=1e-4)
    assert len(list(timings_folder.glob("*.onnx"))) == 1
    assert torch.allclose(_load(result)(images(LENET)), logits, atol=1e-5)


def _prefers(engine: str, run: Callable[[], Tensor]) -> float:
    inner = getattr(run, "func", run)
    return 0.1 if f"_{engine}." in getattr(inner, "__qualname__", "") else 1.0
