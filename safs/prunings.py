"""One pruning of the network, from a description that travels between processes; the sibling of a training."""

import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from math import inf
from typing import Protocol, TypeAlias

import torch

from safs.errors import SafsError
from safs.networks import Network
from safs.pruning import PRUNERS
from safs.pruning.bench import Pruned
from safs.spec import PruneSpec, Recipe
from safs.training.bench import TrainingBench
from safs.trainings import Context, Trained, Training, TrainingRun, score
from safs.trials import EpochMetrics, Outcome


@dataclass(frozen=True, slots=True)
class Pruning:
    """What is to be pruned away, and how."""

    spec: PruneSpec
    sparsity: float
    recipe: Recipe
    seed: int


class PruningRun:
    """A pruning in progress. Like a training it never raises for what went wrong in it: that is an outcome.

    Args:
        device: where to train, e.g. ``cpu`` or ``cuda``.
    """

    def __init__(self, context: Context, pruning: Pruning, device: str) -> None:
        self._context, self._device = context, device
        self._spent_s = 0.0
        self._curve: list[EpochMetrics] = []
        self._error: str | None = None
        self._network: Network | None = None
        self._notes: tuple[str, ...] = ()
        self._steps = self._start(context, pruning, device)

    @property
    def finished(self) -> bool:
        """Whether the network is pruned, or the method broke down."""
        return self._error is not None or self._network is not None

    def advance(self, at_least_s: float) -> tuple[EpochMetrics, ...]:
        """Trains whole epochs until ``at_least_s`` seconds have passed or the pruning is finished; returns them."""
        started = time.perf_counter()
        done: list[EpochMetrics] = []
        try:
            while not self.finished and (not done or time.perf_counter() - started < at_least_s):
                done.append(next(self._steps))
        except StopIteration as stop:
            self._keep(stop.value)
        except SafsError as error:
            self._error = error.message
        except torch.OutOfMemoryError as error:
            self._error = f"out of memory: {str(error).splitlines()[0]}"
        self._spent_s += time.perf_counter() - started
        self._curve += done
        return tuple(done)

    def outcome(self) -> Outcome:
        """How well the pruned network does as it is, before any fine-tuning; or why there is none."""
        assert self.finished
        if self._network is None:
            return Outcome(inf, {}, self._spent_s, tuple(self._curve), self._error)
        scored = score(self._network, self._context.validation, self._context.batch_size, self._device)
        metrics = {"accuracy": scored.accuracy, "cross_entropy": scored.cross_entropy, "epoch": float(len(self._curve))}
        return Outcome(1.0 - scored.accuracy, metrics, self._spent_s, tuple(self._curve))

    def trained(self) -> Trained:
        """The outcome with the pruned network, on the CPU."""
        return Trained(self.outcome(), self._network, self._notes)

    def _start(self, context: Context, pruning: Pruning, device: str) -> Generator[EpochMetrics, None, Pruned]:
        pruner = PRUNERS[pruning.spec.method]
        model = context.blueprint.build(pruning.seed, state=None if pruner.from_scratch else context.start)
        bench = TrainingBench(
            model.to(device),
            context.train,
            context.validation,
            recipe=pruning.recipe,
            epochs=pruning.spec.epochs,
            batch_size=context.batch_size,
            seed=pruning.seed,
            device=torch.device(device),
            augment=context.augment,
        )
        return pruner.prune(bench, pruning.sparsity, pruning.spec)

    def _keep(self, pruned: Pruned) -> None:
        blueprint = replace(self._context.blueprint, form=pruned.form)
        state = {name: tensor.detach().cpu().clone() for name, tensor in pruned.model.state_dict().items()}
        masks = {name: mask.cpu() for name, mask in pruned.masks.items()}
        self._network, self._notes = Network(blueprint, state, masks), pruned.notes


Work: TypeAlias = Training | Pruning
"""What an executor can be asked to do with a network."""


class Run(Protocol):
    """Work in progress."""

    @property
    def finished(self) -> bool: ...

    def advance(self, at_least_s: float) -> tuple[EpochMetrics, ...]: ...

    def outcome(self) -> Outcome: ...

    def trained(self) -> Trained: ...


def begin(context: Context, work: Work, device: str) -> Run:
    """The run that does ``work``."""
    match work:
        case Training():
            return TrainingRun(context, work, device)
        case Pruning():
            return PruningRun(context, work, device)
