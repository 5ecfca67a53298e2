"""A network's inputs as units: the weights that read each pixel or channel."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.fx import Graph, Node

from safs.activations.symbolic_trace import trace
from safs.pruning.protocol import Trainer
from safs.pruning.removal.units import Slot, UnitGroup

NAME = "inputs"
"""Name of the group of inputs; other groups are named after the path of a module."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """The inputs that can be removed from an image."""

    kind: Literal["pixel", "channel"]
    group: UnitGroup
    """The inputs as units, in the order of ``InputSelection``; the group has no producers."""


def find_inputs(model: nn.Module, example: Tensor) -> Inputs | None:
    """Returns the pixels that linear layers read or the channels that convolutions read; None if none can be removed.

    Images may pass through flattening, dropout and identities before the layers. Pixels that a convolution reads cannot
    be removed, since all pixels share its weights. The only channel of an image cannot be removed.

    Args:
        example: one image, [1, channels, height, width]; only its shape matters.
    """
    modules = dict(model.named_modules())
    readers = list(_readers(trace(model, training=False).graph, modules))
    layers = {path: modules[path] for path in readers if path is not None}
    if not readers or None in readers:
        return None
    if all(isinstance(layer, nn.Linear) for layer in layers.values()):
        return _inputs("pixel", example[0].numel(), layers)
    if all(isinstance(layer, nn.Conv2d) and layer.groups == 1 for layer in layers.values()):
        return _inputs("channel", example.shape[1], layers)
    return None


@torch.no_grad()
def mean_and_deviation(trainer: Trainer, kind: Literal["pixel", "channel"]) -> tuple[Tensor, Tensor]:
    """Returns the mean and the standard deviation, [inputs] each, of every input over the trainer's batches."""
    images = torch.cat([images for images, _ in trainer.batches()])
    values = images.flatten(1) if kind == "pixel" else images.transpose(0, 1).flatten(1).T
    return values.mean(0), values.std(0, correction=0)


def _inputs(kind: Literal["pixel", "channel"], units: int, layers: dict[str, nn.Module]) -> Inputs | None:
    widths = {layer.get_parameter("weight").shape[1] for layer in layers.values()}
    if units < 2 or widths != {units}:
        return None
    positions = tuple((unit,) for unit in range(units))
    slots = tuple(Slot(f"{path}.weight" if path else "weight", 1, positions) for path in layers)
    return Inputs(kind, UnitGroup(NAME, units, (), slots))


def _readers(graph: Graph, modules: dict[str, nn.Module]) -> Iterator[str | None]:
    """Yields the paths of the layers that read the images, and None for every other reader."""
    waiting = [next(node for node in graph.nodes if node.op == "placeholder")]
    while waiting:
        for user in waiting.pop().users:
            if _passes_on(user, modules):
                waiting.append(user)
            elif user.op == "call_module" and isinstance(modules[str(user.target)], nn.Linear | nn.Conv2d):
                yield str(user.target)
            elif not _asks_for_a_property(user):
                yield None


def _passes_on(node: Node, modules: dict[str, nn.Module]) -> bool:
    """True if ``node`` passes every input on, in its order."""
    if node.op == "call_module":
        match modules[str(node.target)]:
            case nn.Flatten() as flatten:
                return flatten.start_dim == 1
            case module:
                return isinstance(module, nn.Identity | nn.Dropout)
    if node.target is torch.ops.aten.flatten.using_ints:
        return tuple(node.args[1:]) == (1,)
    if node.target in ("view", "reshape"):
        return len(node.args) == 3 and bool(node.args[2] == -1)
    return node.target in ("flatten", torch.flatten) and tuple(node.args[1:]) == (1,) and not node.kwargs


def _asks_for_a_property(node: Node) -> bool:
    """True for a size of the images, and for their device."""
    if node.target in ("size", torch.ops.aten.sym_size.int):
        return True
    return node.target is getattr and tuple(node.args[1:]) in (("shape",), ("device",))
