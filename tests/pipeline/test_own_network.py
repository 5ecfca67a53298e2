"""Jobs on networks that a user brought: through the whole pipeline, and back without the user's code."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import safs
from safs.activations.surgery import rewire
from safs.errors import CheckpointError
from safs.events.kinds import Event, Note
from safs.execution.serial import SerialExecutor
from safs.pipeline.result_stage import Result
from safs.pipeline.run import run_job
from safs.reuse.cache import FolderCache, NoCache
from safs.spec.job import JobSpec
from search_spaces import SPACES
from tests.models.declared.networks import Own

BUDGET: dict[str, Any] = {
    "data": {"dataset": "digits", "batch_size": 64, "image_size": 8},
    "sparsity": 0.6,
    "train": {"epochs": 1},
    "joint": {"trials": 2, "epochs": 1, "options": {"min_epochs": 1}},
    "final": {"epochs": 1, "candidates": ["default", "joint"]},
}
IMAGES = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A captured network with weights."""
    torch.manual_seed(0)
    return safs.capture(Own(), (1, 8)).save(tmp_path_factory.mktemp("network") / "network.safetensors")


def run(file: Path, folder: Path, cache: Any = None, **sections: Any) -> tuple[Result, list[Event]]:
    events: list[Event] = []
    spec = JobSpec.model_validate(BUDGET | {"model": {"network": str(file)}} | sections)
    result = run_job(
        spec,
        spaces=SPACES,
        executor=SerialExecutor("cpu", 1),
        report=events.append,
        data_root=None,
        dense_weights=file,
        out_dir=folder,
        cache=cache or NoCache(),
    )
    return result, events


@pytest.mark.parametrize(
    "prune",
    [
        {},
        {"granularity": "filter"},
        pytest.param({"method": "set", "epochs": 1}, marks=pytest.mark.exhaustive),
        pytest.param({"method": "rigl", "epochs": 1}, marks=pytest.mark.exhaustive),
        pytest.param({"method": "east", "epochs": 1}, marks=pytest.mark.exhaustive),
        pytest.param({"method": "greg1", "epochs": 1}, marks=pytest.mark.exhaustive),
        pytest.param({"method": "ap", "epochs": 2, "options": {"rounds": 1}}, marks=pytest.mark.exhaustive),
        pytest.param({"score": "lookahead"}, marks=pytest.mark.exhaustive),
        pytest.param({"granularity": "column"}, marks=pytest.mark.exhaustive),
        pytest.param({"granularity": "2:4"}, marks=pytest.mark.exhaustive),
        pytest.param({"schedule": "cubic", "epochs": 1}, marks=pytest.mark.exhaustive),
    ],
    ids=lambda prune: "-".join(str(value) for value in prune.values() if isinstance(value, str)) or "default",
)
def test_every_kind_of_pruning_takes_an_own_network(file: Path, tmp_path: Path, prune: dict[str, Any]) -> None:
    run(file, tmp_path, prune=prune, sparsity=0.5)

    found = safs.verify(tmp_path)

    assert found.sparsity.live == found.sparsity.weights // 2
    assert found.architecture == "network/Own"
    assert safs.load(tmp_path)(IMAGES).shape == (4, 10)


def test_the_result_gives_the_outputs_of_the_users_class_with_the_trained_weights(file: Path, tmp_path: Path) -> None:
    run(file, tmp_path)

    network, config = safs.load(tmp_path), json.loads((tmp_path / "config.json").read_text())
    own = rewire(Own(), config["assignment"], scalars=config["scalars"]).eval()
    own.load_model_state({name: value for name, value in network.state_dict().items() if name in own.model_state()})

    assert {"network.json", "checkpoint.safetensors"} <= {path.name for path in tmp_path.iterdir()}
    assert torch.allclose(network(IMAGES), own(IMAGES), atol=1e-6)


@pytest.mark.exhaustive  # tests/pipeline/test_reuse.py has the stages.
def test_a_second_job_on_the_same_network_reuses_the_pruned_one(file: Path, tmp_path: Path) -> None:
    cache = FolderCache(tmp_path / "cache")
    _, first = run(file, tmp_path / "first", cache, prune={"method": "set", "epochs": 1})

    again = safs.capture(Own(), (1, 8)).save(tmp_path / "other-weights.safetensors")
    assert any("scale belong to no module" in event.message for event in first if isinstance(event, Note))
    same = run(file, tmp_path / "second", cache, prune={"method": "set", "epochs": 1})[0]
    other = run(again, tmp_path / "third", cache, prune={"method": "set", "epochs": 1})[0]

    assert _reused(same)[:1] == ["prune"]
    assert _reused(other) == []


def _reused(result: Result) -> list[str]:
    return [stage["stage"] for stage in result.report["stages"] if stage["reused"]]


def test_an_altered_network_json_is_refused(file: Path, tmp_path: Path) -> None:
    run(file, tmp_path)
    altered = (tmp_path / "network.json").read_text().replace("aten.relu.default", "aten.silu.default")
    (tmp_path / "network.json").write_text(altered)

    with pytest.raises(CheckpointError, match=r"network\.json was altered"):
        safs.load(tmp_path)
