"""The interface of pruning methods: their inputs and their result.

A method is a generator: straight-line code that trains with the trainer, yields the metrics of every epoch (so that the
caller can report, pause or stop), and returns the pruned network.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import torch
from torch import Tensor, nn

from safs.models.form import Form
from safs.pruning.masks import Masks
from safs.spec.pruning import PruneSpec
from safs.trials import EpochMetrics


def _nothing(step: int) -> None:
    """Does nothing; the default hook."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """Functions called in every step of a training, with the number of the step in this ``Trainer.train``, from 0."""

    after_backward: Callable[[int], None] = _nothing
    """Called after the backward pass; may change the gradients. Pruned weights have true gradients, not zeros."""
    after_step: Callable[[int], Masks | None] = _nothing
    """Called after the optimizer's step, with pruned weights zeroed again. Returns the masks to use from now on, or
    None to keep them. Weights that the new masks bring back start at 0, without momentum."""


class Trainer(Protocol):
    """A network in training, for a pruning method."""

    @property
    def model(self) -> nn.Module:
        """The network, on ``device``; its parameters are trained and pruned in place."""

    @property
    def device(self) -> torch.device: ...

    @property
    def seed(self) -> int: ...

    @property
    def epochs(self) -> int:
        """Epochs that the method may train, over all its trainings."""

    @property
    def steps_per_epoch(self) -> int: ...

    @property
    def masks(self) -> Masks | None:
        """Masks of a network that is pruned already and that gradual pruning goes on from; None for a dense one."""

    @property
    def example(self) -> Tensor:
        """One image of zeros, [1, channels, height, width], on ``device``."""

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields a few training batches for scores: normalised, not augmented, on ``device``, the same every time."""

    def train(
        self,
        epochs: int,
        *,
        masks: Masks | None = None,
        hooks: Hooks = Hooks(),  # frozen
        through: nn.Module | None = None,
    ) -> Iterator[EpochMetrics]:
        """Trains ``model`` with a new optimizer and a learning-rate schedule over ``epochs``; yields every epoch.

        Args:
            masks: False for weights that are held at zero, until ``hooks.after_step`` returns other masks.
            through: a module to train in place of ``model``, with the same parameters under the same names.

        Raises:
            Diverged: the loss of an epoch is not finite.
        """


@dataclass(frozen=True, slots=True)
class Pruned:
    """The result of a pruning method."""

    model: nn.Module
    """The pruned network: pruned weights are exactly zero, and the state dict fits ``form``."""
    masks: Masks
    """Masks of all prunable parameters of ``model``."""
    form: Form = field(default_factory=Form)
    notes: tuple[str, ...] = ()
    """Sentences for the report on how the pruning went."""


@dataclass(frozen=True, slots=True)
class PruningTask:
    """A pruning as it is known before it runs, for checks."""

    model: nn.Module
    """The dense network on the meta device."""
    example: Tensor
    """One image, [1, channels, height, width], on the meta device."""
    sparsity: float
    spec: PruneSpec
    steps_per_epoch: int
    held: Mapping[str, int] = field(default_factory=dict)
    """Prunable weight -> number of zeros that the network starts with and ``prune.keep_zeros`` keeps."""

    @property
    def steps(self) -> int:
        """Number of optimizer steps of the whole pruning."""
        return self.spec.epochs * self.steps_per_epoch


Steps: TypeAlias = Generator[EpochMetrics, None, Pruned]
Method: TypeAlias = Callable[[Trainer, float, PruneSpec], Steps]
"""(trainer, sparsity, spec) -> generator of epochs that returns the network, pruned to exactly ``sparsity``."""


@dataclass(frozen=True, slots=True)
class Pruner:
    """A pruning method."""

    summary: str
    prune: Method
    check: Callable[[PruningTask], None]
    """Raises the errors of ``prune`` that follow from options, epochs, sparsity and the network's shapes."""
    source: str = ""
    """Author, year and arXiv id of the paper."""
    from_scratch: bool = False
    """True if the method starts from new random weights instead of the dense network's."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Option -> its description and default."""
