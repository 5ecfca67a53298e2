"""What a pruning method gets to work with, and what it gives back.

A method is a generator: straight-line code that asks the trainer to train, yields every epoch that was trained (so that
whoever drives it can report, pause or stop), and returns the pruned network.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import torch
from torch import Tensor, nn

from safs.models.form import Form
from safs.pruning.masks import Masks
from safs.spec.job import PruneSpec
from safs.trials import EpochMetrics


def _nothing(step: int) -> None:
    """The hook of a training that is left alone."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """Called within a training, with the number of the step: 0 for the first of this ``Trainer.train``."""

    after_backward: Callable[[int], None] = _nothing
    """The gradients are there and may be changed; those of pruned weights are true gradients, not zeros."""
    after_step: Callable[[int], Masks | None] = _nothing
    """The optimizer has moved the weights and the pruned ones are zero again. Masks that it returns hold from now on:
    weights that they bring back start at 0, without momentum."""


class Trainer(Protocol):
    """A network in training, for a pruning method."""

    @property
    def model(self) -> nn.Module:
        """The network, on ``device``; its own parameters are what is trained and pruned."""

    @property
    def device(self) -> torch.device: ...

    @property
    def seed(self) -> int: ...

    @property
    def epochs(self) -> int:
        """How many the method may train, all its trainings together."""

    @property
    def steps_per_epoch(self) -> int: ...

    @property
    def example(self) -> Tensor:
        """One image of zeros, [1, channels, height, width], on ``device``."""

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """A few training batches for scores, normalised, unaugmented, on ``device``; the same at each call."""

    def train(
        self,
        epochs: int,
        *,
        masks: Masks | None = None,
        hooks: Hooks = Hooks(),  # frozen
        through: nn.Module | None = None,
    ) -> Iterator[EpochMetrics]:
        """Trains ``model`` with a fresh optimizer and a learning-rate schedule over these epochs; yields each epoch.

        Args:
            masks: weights that are held at zero, until ``hooks.after_step`` returns others.
            through: a module to train in place of ``model``, which holds its parameters under the same names.

        Raises:
            Diverged: the loss of an epoch is not finite.
        """


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a pruning method returns."""

    model: nn.Module
    """Pruned weights are exactly zero; the state dict fits ``form``."""
    masks: Masks
    """Of all prunable parameters of ``model``."""
    form: Form = field(default_factory=Form)
    notes: tuple[str, ...] = ()
    """What a person should know of how it went."""


@dataclass(frozen=True, slots=True)
class PruningTask:
    """What is known of a pruning before it runs."""

    model: nn.Module
    """The dense network on the meta device."""
    example: Tensor
    """One image, [1, channels, height, width], on the meta device."""
    sparsity: float
    spec: PruneSpec
    steps_per_epoch: int

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole pruning."""
        return self.spec.epochs * self.steps_per_epoch


Steps: TypeAlias = Generator[EpochMetrics, None, Pruned]
Method: TypeAlias = Callable[[Trainer, float, PruneSpec], Steps]
"""(trainer, sparsity, spec) -> epochs, then the pruned network, with exactly the live weights asked for."""


@dataclass(frozen=True, slots=True)
class Pruner:
    """A pruning method."""

    summary: str
    prune: Method
    check: Callable[[PruningTask], None]
    """Raises what ``prune`` would raise for what is known beforehand: options, epochs, sparsity, the network."""
    source: str = ""
    from_scratch: bool = False
    """Whether it starts from fresh random weights instead of the dense network's."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Option -> what it is, with its default."""
