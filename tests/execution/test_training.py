"""Trainings of the network under search."""

from dataclasses import replace

import pytest
import torch

from safs.data.tensor_split import TensorSplit
from safs.execution.training import Training, TrainingRun
from safs.execution.work import Context
from safs.networks import Blueprint
from safs.spec.job import Recipe
from safs.training.settings import TrainingData


@pytest.fixture
def context() -> Context:
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (32, 1, 28, 28), generator=draw, dtype=torch.uint8)
    split = TensorSplit(images, torch.arange(32) % 10, torch.tensor([127.0]), torch.tensor([70.0]), 10, 1, 28)
    return Context(Blueprint("lenet5", 1, 28, 10), TrainingData(split, split, batch_size=8))


def test_acon_learns_two_slopes_and_as_published_only_one(context: Context) -> None:
    training = Training({"relu1": "acon"}, Recipe(optimizer="sgd", learning_rate=0.1), epochs=1, seed=0)

    def slopes(acon_start: str) -> tuple[float, float]:
        run = TrainingRun(context, replace(training, acon_start=acon_start), "cpu")
        run.advance(at_least_s=60)
        network = run.trained().network
        assert network is not None
        return network.scalars["relu1"]["p1"], network.scalars["relu1"]["p2"]

    ours, published = slopes("swish"), slopes("identity")

    assert ours[0] != pytest.approx(ours[1] + 1, abs=1e-3)
    assert published[0] == published[1] != 1
