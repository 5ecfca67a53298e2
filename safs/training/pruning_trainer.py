"""The trainer that is passed to pruning methods: it trains the network on the data."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import torch
from torch import Tensor, nn

from safs.pruning.masks import Masks
from safs.pruning.protocol import Hooks
from safs.training.layout import to_contiguous
from safs.training.session import TrainingSession, steps_per_epoch
from safs.training.settings import TrainingData, TrainingSettings
from safs.trials import EpochMetrics

SCORED_IMAGES = 2048
"""Number of training images that scores are computed on: enough for a stable mean gradient in about a second."""


class PruningTrainer:
    """Implements ``safs.pruning.protocol.Trainer`` with ``TrainingSession``.

    Epochs are numbered across all trainings. Each training shuffles from its own seed.

    Args:
        model: network on the data's device; trained in place.
        settings: ``epochs`` is the budget of all trainings together. It is published, not enforced.
        masks: masks of ``model`` if it is pruned already, on the data's device.
    """

    def __init__(
        self, model: nn.Module, data: TrainingData, settings: TrainingSettings, masks: Masks | None = None
    ) -> None:
        self.model, self.device, self.seed, self.epochs = model, data.device, settings.seed, settings.epochs
        self.steps_per_epoch = steps_per_epoch(len(data.train), data.batch_size)
        self.masks = masks
        self._data, self._settings = data, settings
        self._trainings = 0
        self._epochs_done = 0

    @property
    def example(self) -> Tensor:
        images, _ = next(self._data.validation.batches(1, device=self.device))
        return torch.zeros_like(images)

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        return few_batches(self._data, self.seed)

    def train(
        self,
        epochs: int,
        *,
        masks: Masks | None = None,
        hooks: Hooks = Hooks(),  # noqa: B008  # frozen
        through: nn.Module | None = None,
    ) -> Iterator[EpochMetrics]:
        settings = replace(self._settings, epochs=epochs, seed=self.seed + self._trainings)
        session = TrainingSession(through or self.model, self._data, settings, masks=masks, hooks=hooks)
        self._trainings += 1
        while not session.finished:
            metrics = session.step()
            self._epochs_done += 1
            yield replace(metrics, epoch=self._epochs_done)
        to_contiguous(self.model)


def few_batches(data: TrainingData, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield random training batches, ``SCORED_IMAGES`` images in all: normalised, not augmented, on the device."""
    size = min(data.batch_size, SCORED_IMAGES)
    generator = torch.Generator().manual_seed(seed)
    return islice(data.train.batches(size, device=data.device, generator=generator), SCORED_IMAGES // size)
