"""A training between two epochs, as a plain value: what makes the rest of it the same bit for bit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from safs.training.seeding import RandomState
from safs.trials import EpochMetrics


@dataclass(frozen=True, slots=True)
class BestEpoch:
    """The epoch with the highest validation accuracy; of equal ones, that with the lowest cross-entropy."""

    metrics: EpochMetrics
    state: dict[str, Tensor]
    """A copy of the model's state dict, with exact zeros where the masks say so and nowhere else in masked weights."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A training after an epoch. All tensors are copies, on the CPU."""

    span: int
    """Epochs that its learning-rate schedule spans."""
    steps: int
    """Steps of the optimizer so far."""
    curve: tuple[EpochMetrics, ...]
    """Its epochs so far."""
    one_class_epochs: int
    """Evaluations in a row, up to the last one, in which a single class was predicted."""
    best: BestEpoch
    model: dict[str, Tensor]
    """All parameters and buffers by name, also those that the state dict leaves out."""
    optimizer: "OptimizerState"
    schedule: dict[str, Any]
    random: RandomState

    @property
    def size_bytes(self) -> int:
        """Memory that its tensors take."""
        tensors = [*self.model.values(), *self.best.state.values(), *self.optimizer.tensors()]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@dataclass(frozen=True, slots=True)
class OptimizerState:
    """An optimizer's state dict on the CPU."""

    state: dict[str, Any]
    on_host: frozenset[str]
    """Entries of a parameter's state that live on the CPU wherever the parameter does, such as NAdam's product."""

    def tensors(self) -> list[Tensor]:
        """The tensors in it."""
        return [
            value for entry in self.state["state"].values() for value in entry.values() if isinstance(value, Tensor)
        ]


def take_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Copies of the model's parameters and buffers."""
    return {name: to_cpu(tensor) for name, tensor in _tensors(model).items()}


@torch.no_grad()
def give_tensors(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Sets the model's parameters and buffers, in place."""
    own = _tensors(model)
    assert own.keys() == tensors.keys(), "a snapshot of another model"
    for name, tensor in own.items():
        tensor.copy_(tensors[name])


def take_optimizer(optimizer: Optimizer) -> OptimizerState:
    """A copy of the optimizer's state."""
    found = optimizer.state_dict()
    entries = {key: dict(entry) for key, entry in found["state"].items()}
    on_host = frozenset(
        name
        for key, entry in entries.items()
        for name, value in entry.items()
        if isinstance(value, Tensor) and value.device.type == "cpu"
    )
    copied = {
        key: {name: to_cpu(value) if isinstance(value, Tensor) else value for name, value in entry.items()}
        for key, entry in entries.items()
    }
    groups = [dict(group) for group in found["param_groups"]]
    return OptimizerState({"state": copied, "param_groups": groups}, on_host)


def give_optimizer(optimizer: Optimizer, saved: OptimizerState) -> None:
    """Sets the optimizer's state; the copy stays the caller's."""
    copies = {
        key: {name: value.clone() if isinstance(value, Tensor) else value for name, value in entry.items()}
        for key, entry in saved.state["state"].items()
    }
    optimizer.load_state_dict(saved.state | {"state": copies})
    # Loading sends everything to the parameters' device, where scalars that are read by the host cost a sync each.
    for state in optimizer.state.values():
        for name in saved.on_host & state.keys():
            state[name] = state[name].cpu()


def to_cpu(tensor: Tensor) -> Tensor:
    """A copy on the CPU."""
    return tensor.detach().to("cpu", copy=True)


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return dict(model.named_parameters()) | dict(model.named_buffers())
