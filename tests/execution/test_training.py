"""Trainings of the network under search."""

from dataclasses import replace

import pytest

from safs.execution.training import Training, TrainingRun
from safs.execution.work import Context
from safs.spec.training import Recipe
from tests.execution.images import random_images


@pytest.fixture
def context() -> Context:
    return random_images("lenet5")


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
