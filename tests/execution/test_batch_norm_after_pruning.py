"""Batch norm after pruning: a network is scored under statistics of its own, not the dense network's."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from safs.execution.pruning import Pruning, PruningRun
from safs.execution.work import Context, Trained
from safs.models import MODELS, InputShape, ModelEntry, architectures
from safs.registry import Registry
from safs.spec.pruning import PruneSpec
from safs.spec.training import Recipe
from tests.execution.images import random_images


class WithBatchNorm(nn.Module):
    """A convolution, a batch norm and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.relu = nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU()
        self.pool, self.flatten, self.fc = nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.flatten(self.pool(self.relu(self.norm(self.conv(x))))))


@pytest.fixture
def context(monkeypatch: pytest.MonkeyPatch) -> Context:
    def make(shape: InputShape, classes: int) -> nn.Module:
        return WithBatchNorm()

    entry = ModelEntry("with_norm", make, lambda wanted: wanted, "", "")
    monkeypatch.setattr(architectures, "MODELS", Registry("architecture", {**MODELS, entry.name: entry}))
    return random_images("with_norm")


def pruned(context: Context, sparsity: float) -> Trained:
    run = PruningRun(context, Pruning(PruneSpec(), sparsity, Recipe(), seed=0), "cpu")
    while not run.finished:
        run.advance(at_least_s=60)
    return run.trained()


def test_a_pruned_network_has_the_statistics_of_its_own_activations(context: Context) -> None:
    dense = WithBatchNorm()
    dense.norm.running_mean.fill_(1e3)
    context = replace(context, start=dense.state_dict())

    network = pruned(context, 0.5).network

    assert network is not None
    images = torch.cat([images for images, _ in context.data.train.batches(8, device=torch.device("cpu"))])
    outputs = torch.nn.functional.conv2d(images, network.state["conv.weight"])
    assert network.state["norm.running_mean"].tolist() == pytest.approx(outputs.mean(dim=(0, 2, 3)).tolist(), abs=1e-4)
