"""Networks that the service cannot import: by HTTP to a real service, pruned, and back without their code.

The network that is written here goes with arrays of its own, the others with a data set by name.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

import safs
from safs import data
from safs.activations.surgery import rewire
from safs.client import Client, RemoteJob
from safs.spec.job import JobSpec

PATIENCE_S = 400.0
"""Seconds that the service and its first job may take on a very busy machine; a quiet one takes a few."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(PATIENCE_S + 200)]

BUDGET: dict[str, Any] = {
    "data": {"dataset": "digits", "batch_size": 64},
    "sparsity": 0.8,
    "joint": {"strategy": "random", "trials": 2, "epochs": 1},
    "final": {"epochs": 1, "candidates": ["default", "joint"]},
}


def written_here() -> nn.Module:
    """A network of a class that nothing can import. Takes [batch, 1, 8, 8]."""

    class Local(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 8, 3, padding=1, bias=False)
            self.norm = nn.BatchNorm2d(8)
            self.gain = nn.Parameter(torch.ones(8, 1, 1))
            self.head = nn.Sequential(nn.Linear(128, 32), nn.GELU(), nn.Dropout(0.1), nn.Linear(32, 10))

        def forward(self, x: Tensor) -> Tensor:
            x = F.max_pool2d(F.relu(self.norm(self.conv(x))) * self.gain, 2)
            logits: Tensor = self.head(x.flatten(1))
            return logits

    return Local()


def of_timm() -> nn.Module:
    """The smallest residual network of timm. Takes [batch, 1, 32, 32]."""
    import timm

    network: nn.Module = timm.create_model("test_resnet", num_classes=10, in_chans=1)
    return network


def of_hugging_face() -> nn.Module:
    """A tiny vision transformer, whose output is an object with the logits. Takes [batch, 1, 16, 16]."""
    from transformers import ViTConfig, ViTForImageClassification  # takes seconds

    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=16,
        patch_size=4,
        num_channels=1,
        num_labels=10,
    )
    network: nn.Module = ViTForImageClassification(config)
    return network


NETWORKS = {"written here": (written_here, 8), "timm": (of_timm, 32), "transformers": (of_hugging_face, 16)}


def own_arrays() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training and test images of bytes, [n, 8, 8], each with its labels."""
    digits = load_digits()
    images, labels = (digits.images * 15).astype(np.uint8), digits.target.astype(np.int64)
    return images[:1500], labels[:1500], images[1500:], labels[1500:]


@pytest.fixture(scope="module")
def submitted(client: Client, request: pytest.FixtureRequest) -> dict[str, tuple[nn.Module, RemoteJob]]:
    """The selected networks and their jobs, queued at once."""
    asked = {item.callspec.params["name"] for item in request.session.items if item.path == request.path}
    found = {}
    for name in NETWORKS:
        if name in asked:
            make, size = NETWORKS[name]
            torch.manual_seed(0)
            network = make()
            own: dict[str, Any] = {"data": own_arrays()} if name == "written here" else {"input": (1, size)}
            found[name] = network, client.submit(BUDGET, model=network, name=name, **own)
    return found


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.exhaustive) for name in NETWORKS],  # test_readme.py has one, too
)
def test_a_network_comes_back_with_the_outputs_of_its_own_class(
    submitted: dict[str, tuple[nn.Module, RemoteJob]], name: str, tmp_path: Path
) -> None:
    network, job = submitted[name]

    folder = job.wait(timeout_s=PATIENCE_S).download(tmp_path)

    found, loaded = safs.verify(folder), safs.load(folder)
    report, config = (json.loads((folder / file).read_text()) for file in ("report.json", "config.json"))
    if name == "written here":
        assert job.view["spec"]["data"]["dataset"] == "upload"
        images, labels = _own_test_images(config["input"])
    else:
        images, labels = _test_images(JobSpec.model_validate(job.view["spec"]), NETWORKS[name][1])
    result = next(row for row in report["rows"] if row["name"] == report["result"])
    accuracy = (loaded(images).argmax(1) == labels).float().mean().item()
    assert found.sparsity.live == found.sparsity.weights - round(0.8 * found.sparsity.weights)
    assert accuracy == pytest.approx(result["test_accuracy"], abs=1e-6)
    if name == "written here":  # the other two cannot be traced or have another output
        own = rewire(network, config["assignment"], scalars=config["scalars"]).eval()
        state = loaded.state_dict()
        own.load_model_state({each: state[each] for each in own.model_state()})
        assert torch.allclose(loaded(images), own(images), atol=1e-5)


def _own_test_images(statistics: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """The test images of ``own_arrays`` as config.json says that the network takes them."""
    images, labels = (torch.from_numpy(array) for array in own_arrays()[2:])
    mean, std = (torch.tensor(statistics[key])[:, None, None] for key in ("mean", "std"))
    return (images[:, None].float() / statistics["scale"] - mean) / std, labels


def _test_images(spec: JobSpec, size: int) -> tuple[Tensor, Tensor]:
    splits = data.load(spec.data, root=None, channels=1, image_size=size, seed=spec.seed)
    images, labels = next(splits.test.batches(10_000, device=torch.device("cpu")))
    return images, labels
