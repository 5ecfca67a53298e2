"""Scoring, against numbers worked by hand."""

from math import log

import pytest
import torch
from torch import nn

from safs.data.tensor_split import TensorSplit
from safs.training.evaluate import evaluate

CPU = torch.device("cpu")


def split(labels: list[int]) -> TensorSplit:
    images = torch.arange(len(labels), dtype=torch.float32).view(-1, 1, 1, 1)
    return TensorSplit(images, torch.tensor(labels), torch.zeros(1), torch.ones(1), classes=2, channels=1, image_size=1)


class Even(nn.Module):
    """Gives class 0 three times the probability of class 1 for even numbers, and the reverse for odd numbers."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        even = images.flatten() % 2 == 0
        return torch.where(even[:, None], torch.tensor([log(3.0), 0.0]), torch.tensor([0.0, log(3.0)]))


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_accuracy_and_cross_entropy_are_means_over_samples_whatever_the_batch(batch_size):
    result = evaluate(Even(), split([0, 1, 0, 1, 1]), batch_size=batch_size, device=CPU)

    assert result.accuracy == pytest.approx(4 / 5)
    assert result.cross_entropy == pytest.approx(-(4 * log(0.75) + log(0.25)) / 5)
    assert result.samples == 5


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_restored_and_dropout_and_batch_norm_are_still(training):
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(1), nn.Dropout(0.9), nn.Linear(1, 2)).train(training)
    statistics = model[1].running_mean.clone()

    first, second = (evaluate(model, split([0, 1, 0]), batch_size=2, device=CPU) for _ in range(2))

    assert first == second
    assert model.training == model[2].training == training
    assert torch.equal(model[1].running_mean, statistics)


def test_the_mode_is_restored_when_the_model_fails():
    model = nn.Linear(7, 2).train()

    with pytest.raises(RuntimeError):
        evaluate(model, split([0, 1]), batch_size=2, device=CPU)

    assert model.training
