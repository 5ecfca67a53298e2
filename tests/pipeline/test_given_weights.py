"""Jobs that start from given weights: sparse ones whose zeros stay, and ones of another number of classes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import safs
from safs import preflight
from safs.errors import NetworkMismatchError, SparsityError, SpecError
from safs.events.kinds import Event, Note, StageDone
from safs.execution.serial import SerialExecutor
from safs.models import build
from safs.models.declared.capture import Capture
from safs.pipeline.run import run_job
from safs.spec.job import JobSpec
from search_spaces import SPACES
from tests.models.declared.networks import Own

BUDGET: dict[str, Any] = {
    "data": {"dataset": "digits", "batch_size": 64, "image_size": 8},
    "sparsity": 0.5,
    "train": {"epochs": 1},
    "prune": {"schedule": "one_shot", "distribution": "global"},
    "joint": {"strategy": "random", "trials": 1, "epochs": 1},
    "final": {"epochs": 1, "candidates": ["default", "joint"]},
}


def run(folder: Path, model: dict[str, Any], **sections: Any) -> list[Event]:
    events: list[Event] = []
    spec = JobSpec.model_validate(BUDGET | {"model": model} | sections)
    run_job(
        spec,
        spaces=SPACES,
        executor=SerialExecutor("cpu", 1),
        report=events.append,
        data_root=None,
        dense_weights=None if spec.model.file is None else Path(spec.model.file),
        out_dir=folder,
    )
    return events


def notes(events: list[Event]) -> str:
    return "\n".join(event.message for event in events if isinstance(event, Note))


def result(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "checkpoint.safetensors")


@pytest.fixture(scope="module")
def sparse_network(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Capture]:
    """A captured network of seven classes, with zeros in a convolution, a linear layer and the classifier."""
    torch.manual_seed(0)
    network = Own(classes=7)
    with torch.no_grad():
        network.conv.weight[:, :, 0] = 0
        network.fc.weight[:, ::3] = 0
        network.out.weight[:2] = 0
    captured = safs.capture(network, (1, 8))
    return captured.save(tmp_path_factory.mktemp("network") / "network.safetensors"), captured


def test_a_result_is_pruned_further_and_its_zeros_stay(tmp_path: Path) -> None:
    run(tmp_path / "first", {"architecture": "mlp"})
    first = result(tmp_path / "first")

    told = run(
        tmp_path / "second",
        {"architecture": "mlp", "weights": str(tmp_path / "first" / "checkpoint.safetensors")},
        sparsity=0.8,
        prune={"schedule": "cubic", "distribution": "global", "epochs": 2, "keep_zeros": True},
    )

    second, found = result(tmp_path / "second"), safs.verify(tmp_path / "second").sparsity
    weights = [name for name, value in first.items() if value.dim() > 1]
    zeros = sum(int((first[name] == 0).sum()) for name in weights)
    assert found.live == found.weights - round(0.8 * found.weights)
    assert zeros == round(0.5 * found.weights)
    assert not any(bool(second[name][first[name] == 0].any()) for name in weights)
    assert f"{zeros:,} of {found.weights:,} prunable weights (50.00%) are zero and stay zero" in notes(told)


def test_an_own_network_gets_a_fresh_classifier_and_keeps_its_other_zeros(
    sparse_network: tuple[Path, Capture], tmp_path: Path
) -> None:
    file, captured = sparse_network

    told = run(
        tmp_path,
        {"network": str(file), "head": "reset"},
        prune={"schedule": "one_shot", "distribution": "global", "keep_zeros": True},
    )

    state = result(tmp_path)
    assert safs.load(tmp_path)(torch.randn(2, 1, 8, 8)).shape == (2, 10)
    assert safs.verify(tmp_path).sparsity.sparsity == pytest.approx(0.5, abs=1e-3)
    for name in ("conv.weight", "fc.weight"):
        assert not bool(state[name][captured.tensors[name] == 0].any())
    assert "the classifier (out) starts fresh, with 10 classes" in notes(told)
    assert "364 of 1,220 prunable weights (29.84%) are zero and stay zero" in notes(told)
    trained = next(event for event in told if isinstance(event, StageDone) and event.stage == "dense")
    assert "dense validation accuracy" in trained.summary


@pytest.mark.exhaustive
def test_weights_of_other_classes_get_a_fresh_classifier_and_are_trained(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    given = build("mlp", channels=1, classes=3, image_size=8, seed=1).state_dict()
    save_file(given, tmp_path / "w.safetensors")
    model = {"architecture": "mlp", "weights": str(tmp_path / "w.safetensors")}

    with pytest.raises(safs.errors.WeightsError, match="has 3 classes in the file, and the data 10"):
        preflight.check(
            JobSpec.model_validate(BUDGET | {"model": model}), data_root=None, weights=tmp_path / "w.safetensors"
        )
    told = run(tmp_path / "result", model | {"head": "reset"})

    assert "starts fresh, with 10 classes, not the 3 of the file" in notes(told)
    assert safs.load(tmp_path / "result")(torch.randn(2, 1, 8, 8)).shape == (2, 10)


@pytest.mark.parametrize(
    ("spec", "error", "words", "field"),
    [
        (
            {"prune": {"keep_zeros": True}, "model": {"architecture": "mlp"}},
            SpecError,
            "trains its dense network",
            None,
        ),
        ({"sparsity": 0.1, "prune": {"keep_zeros": True}}, SparsityError, "are zero at the start", "sparsity"),
        ({"model": {}}, NetworkMismatchError, r"or set model\.head: reset", "model.network"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_job(
    sparse_network: tuple[Path, Capture], spec: dict[str, Any], error: type[Exception], words: str, field: str | None
) -> None:
    own = {"model": {"network": str(sparse_network[0]), "head": "reset"}}
    if spec.get("model") == {}:
        spec = {"model": {"network": str(sparse_network[0])}}
    file = None if "architecture" in spec.get("model", {}) else sparse_network[0]

    with pytest.raises(error, match=words) as caught:
        preflight.check(JobSpec.model_validate(BUDGET | own | spec), data_root=None, weights=file)
    assert caught.value.field == (field or "prune.keep_zeros")


def test_a_head_without_given_weights_is_refused() -> None:
    with pytest.raises(ValueError, match=r"model\.head is about given weights"):
        JobSpec.model_validate(BUDGET | {"model": {"architecture": "mlp", "head": "reset"}})
