"""A context of trainings on a few random images."""

import torch

from safs.data.tensor_split import TensorSplit
from safs.execution.work import Context
from safs.networks import Blueprint
from safs.training.settings import TrainingData


def random_images(architecture: str, *, images: int = 32, size: int = 28) -> Context:
    """A context whose splits hold ``images`` random grey images of ten classes."""
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (images, 1, size, size), generator=draw, dtype=torch.uint8)
    split = TensorSplit(pixels, torch.arange(images) % 10, torch.tensor([127.0]), torch.tensor([70.0]), 10, 1, size)
    return Context(Blueprint(architecture, 1, size, 10), TrainingData(split, split, batch_size=8))
