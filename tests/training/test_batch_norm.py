"""Statistics of batch norm after pruning, against means and variances worked by hand."""

import pytest
import torch
from torch import nn

from safs.training.batch_norm import reestimate_statistics


def labelled(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return images, torch.zeros(len(images), dtype=torch.int64)


def test_statistics_are_the_averages_over_the_batches() -> None:
    norm = nn.BatchNorm1d(1, momentum=0.3)
    norm.running_mean.fill_(50.0)
    model = nn.Sequential(norm, nn.Dropout(0.9))
    batches = [labelled(torch.tensor([[1.0], [3.0]])), labelled(torch.tensor([[5.0], [9.0]]))]

    reestimate_statistics(model, batches)

    assert norm.running_mean.item() == pytest.approx((2 + 7) / 2)
    assert norm.running_var.item() == pytest.approx((2 + 8) / 2)  # with n - 1 in the denominator
    assert norm.momentum == 0.3
    assert model.training
    assert norm.training


def test_a_batch_of_one_image_is_skipped_and_eval_mode_is_restored() -> None:
    model = nn.Sequential(nn.BatchNorm1d(1)).eval()

    reestimate_statistics(model, [labelled(torch.tensor([[1.0], [3.0]])), labelled(torch.tensor([[9.0]]))])

    assert model[0].running_mean.item() == pytest.approx(2)
    assert not model[0].training


def test_a_model_without_batch_norm_is_not_run() -> None:
    def unread():
        raise AssertionError
        yield

    reestimate_statistics(nn.Sequential(nn.Linear(1, 1)), unread())
