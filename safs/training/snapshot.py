"""The state of a training between two epochs, as a plain value from which it resumes bit for bit."""

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
    """The epoch with the highest validation accuracy; ties go to the lowest cross-entropy."""

    metrics: EpochMetrics
    state: dict[str, Tensor]
    """A copy of the model's state dict, with exact zeros where the masks say so and nowhere else in masked weights."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A training after an epoch. All tensors are copies, on the CPU."""

    span: int
    """Number of epochs that the learning-rate schedule spans."""
    steps: int
    """Number of optimizer steps so far."""
    curve: tuple[EpochMetrics, ...]
    """Metrics of the epochs so far."""
    one_class_epochs: int
    """Number of latest evaluations in a row that predicted a single class."""
    best: BestEpoch
    model: dict[str, Tensor]
    """All parameters and buffers by name, including buffers that are not in the state dict."""
    optimizer: "OptimizerState"
    schedule: dict[str, Any]
    random: RandomState

    @property
    def size_bytes(self) -> int:
        """Memory of all tensors, in bytes."""
        tensors = [*self.model.values(), *self.best.state.values(), *self.optimizer.tensors()]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@dataclass(frozen=True, slots=True)
class OptimizerState:
    """An optimizer's state dict on the CPU."""

    state: dict[str, Any]
    on_host: frozenset[str]
    """Names of per-parameter entries that stay on the CPU on every device, such as NAdam's ``mu_product``."""

    def tensors(self) -> list[Tensor]:
        """All tensors of the state."""
        return [
            value for entry in self.state["state"].values() for value in entry.values() if isinstance(value, Tensor)
        ]


def take_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Copies of the model's parameters and buffers."""
    return {name: to_cpu(tensor) for name, tensor in _tensors(model).items()}


@torch.no_grad()
def give_tensors(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Set the model's parameters and buffers in place."""
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
    """Set the optimizer's state. ``saved`` is copied, not shared."""
    copies = {
        key: {name: value.clone() if isinstance(value, Tensor) else value for name, value in entry.items()}
        for key, entry in saved.state["state"].items()
    }
    optimizer.load_state_dict(saved.state | {"state": copies})
    # load_state_dict moves everything to the parameters' device, where reading a scalar costs a synchronisation.
    for state in optimizer.state.values():
        for name in saved.on_host & state.keys():
            state[name] = state[name].cpu()


def to_cpu(tensor: Tensor) -> Tensor:
    """A copy on the CPU."""
    return tensor.detach().to("cpu", copy=True)


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return dict(model.named_parameters()) | dict(model.named_buffers())
