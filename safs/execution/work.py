"""Work that is sent between processes: its context, its run in progress, and its result."""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from safs.errors import SafsError
from safs.networks import Blueprint, Network
from safs.pruning.masks import Masks
from safs.training.settings import TrainingData
from safs.training.snapshot import Snapshot
from safs.trials import OUT_OF_MEMORY, EpochMetrics, Outcome


@dataclass(frozen=True, slots=True)
class Context:
    """Everything that the trainings of a stage have in common; sent to each node once."""

    blueprint: Blueprint
    data: TrainingData
    """Images as the network reads them, reduced to ``blueprint.form.inputs``."""
    start: Mapping[str, Tensor] | None = None
    """Initial weights by name; None draws fresh ones from the training's seed."""
    masks: Masks | None = None


@dataclass(frozen=True, slots=True)
class Trained:
    """Result of a training: its outcome, and the network of its best epoch (None if it failed)."""

    outcome: Outcome
    network: Network | None
    notes: tuple[str, ...] = ()
    """Messages for the user."""


@dataclass(frozen=True, slots=True)
class PrunedSnapshot:
    """A pruned network, and the state of a training of it."""

    network: Network
    """The pruned network before the training."""
    curve: tuple[EpochMetrics, ...]
    """Metrics of the pruning's epochs."""
    training: Snapshot

    @property
    def size_bytes(self) -> int:
        """Memory of all tensors, in bytes."""
        tensors = [*self.network.state.values(), *(self.network.masks or {}).values()]
        return self.training.size_bytes + sum(tensor.numel() * tensor.element_size() for tensor in tensors)


Resumable: TypeAlias = Snapshot | PrunedSnapshot
"""State of a training, or of a pruning and a training, from which a longer one continues."""


class Run(ABC):
    """Work in progress, epoch by epoch. Failures of the work itself become its outcome instead of an exception."""

    def __init__(self) -> None:
        self._spent_s = 0.0
        self._curve: list[EpochMetrics] = []
        self._error: str | None = None

    @property
    def finished(self) -> bool:
        """True if all epochs are done or the work failed."""
        return self._error is not None or self._done

    def advance(self, at_least_s: float) -> tuple[EpochMetrics, ...]:
        """Run whole epochs until ``at_least_s`` seconds have passed or the run is finished; returns their metrics."""
        started = time.perf_counter()
        done: list[EpochMetrics] = []
        try:
            while not self.finished:
                if (metrics := self._epoch()) is not None:
                    done.append(metrics)
                if time.perf_counter() - started >= at_least_s:
                    break
        except SafsError as error:
            self._error = error.message
        except torch.OutOfMemoryError as error:
            self._error = f"{OUT_OF_MEMORY}: {str(error).splitlines()[0]}"
        self._spent_s += time.perf_counter() - started
        self._curve += done
        return tuple(done)

    @abstractmethod
    def outcome(self) -> Outcome:
        """The outcome of the finished run."""

    @abstractmethod
    def trained(self) -> Trained:
        """The outcome and the resulting network, on the CPU."""

    def snapshot(self) -> Resumable | None:
        """The state from which a longer run can resume, once this run is finished; None if it cannot be resumed."""
        return None

    @property
    @abstractmethod
    def _done(self) -> bool: ...

    @abstractmethod
    def _epoch(self) -> EpochMetrics | None:
        """Run one epoch; returns None for the work after the last epoch."""
