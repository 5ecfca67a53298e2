"""Work that travels between processes: what it shares with its neighbours, its run in progress, and its result."""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

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
    """What the trainings of a stage share; sent to each node once."""

    blueprint: Blueprint
    data: TrainingData
    """Images as the network reads them, reduced to ``blueprint.form.inputs``."""
    start: Mapping[str, Tensor] | None = None
    """Weights to start from; None draws fresh ones from the training's seed."""
    masks: Masks | None = None


@dataclass(frozen=True, slots=True)
class Trained:
    """A training that ended: how well, and the network of its best epoch (None if it broke down)."""

    outcome: Outcome
    network: Network | None
    notes: tuple[str, ...] = ()
    """What a person should know of it."""


class Run(ABC):
    """Work in progress, epoch by epoch. It never raises for what the work itself did wrong: that is an outcome."""

    def __init__(self) -> None:
        self._spent_s = 0.0
        self._curve: list[EpochMetrics] = []
        self._error: str | None = None

    @property
    def finished(self) -> bool:
        """Whether there is nothing more to do, or the work broke down."""
        return self._error is not None or self._done

    def advance(self, at_least_s: float) -> tuple[EpochMetrics, ...]:
        """Works whole epochs until ``at_least_s`` seconds have passed or the run is finished; returns them."""
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
        """How well it went, once it is finished."""

    @abstractmethod
    def trained(self) -> Trained:
        """The outcome with the network that the work made, on the CPU."""

    def snapshot(self) -> Snapshot | None:
        """What a longer run of the same work can go on from, once this one is finished; None if nothing can."""
        return None

    @property
    @abstractmethod
    def _done(self) -> bool: ...

    @abstractmethod
    def _epoch(self) -> EpochMetrics | None:
        """Works one epoch; None for what is done after the last one."""
