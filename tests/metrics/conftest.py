"""Splits made by hand."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from safs.data.tensor_split import TensorSplit

SplitOf = Callable[..., TensorSplit]


@pytest.fixture
def split_of() -> SplitOf:
    """Make a split of images [N, C, H, W] without normalisation (mean 0, deviation 1). Labels are 0 by default."""

    def make(images: Tensor, labels: list[int] | None = None, classes: int = 2) -> TensorSplit:
        count, channels, size, _ = images.shape
        numbers = torch.tensor(labels or [0] * count)
        return TensorSplit(images, numbers, torch.zeros(channels), torch.ones(channels), classes, channels, size)

    return make
