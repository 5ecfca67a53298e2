"""The two values that every training is made of: the data that it reads, and how it trains."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch

from safs.data.features import select
from safs.data.split import Split
from safs.inputs import InputSelection
from safs.spec.resources import Precision
from safs.spec.training import Recipe
from safs.training.numerics import computes_in_bfloat16

CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The images that a training reads, and how it reads them."""

    train: Split
    validation: Split
    batch_size: int
    """Images per optimizer step, and per forward pass of an evaluation."""
    augment: bool = False
    """True if training batches get the data set's own augmentation. Validation batches never do."""
    device: torch.device = CPU
    """Device that the batches are delivered on."""
    precision: Precision = "float32"
    """Number format of the forward pass's products. Weights, gradients and the optimizer are always float32."""

    def on(self, device: torch.device) -> "TrainingData":
        """The same data for ``device``; images that live in memory are moved there."""
        return replace(self, train=self.train.on(device), validation=self.validation.on(device), device=device)

    def autocast(self) -> AbstractContextManager[None]:
        """Within the context, a forward pass computes its products in ``precision``."""
        precision = self.precision
        if precision == "auto":
            precision = "bfloat16" if computes_in_bfloat16(self.device) else "float32"
        if precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def select(self, inputs: InputSelection | None) -> "TrainingData":
        """The same images reduced to ``inputs``; None keeps them whole."""
        if inputs is None:
            return self
        return replace(self, train=select(self.train, inputs), validation=select(self.validation, inputs))


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """Recipe, length and seed of a training."""

    recipe: Recipe
    epochs: int
    """Epochs that the learning-rate schedule spans."""
    seed: int
    """Seed of shuffling, augmentation and dropout."""
    until: int | None = None
    """Epoch after which the training stops; None trains all ``epochs``."""
