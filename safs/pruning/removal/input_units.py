"""The inputs of a network as units: what reads each pixel or channel."""

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
"""Of the group; no module's path starts a state dict like this and ends here."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What of an image can be left out."""

    kind: Literal["pixel", "channel"]
    group: UnitGroup
    """Its units are the inputs, in the order of ``InputSelection``; nothing in the network produces them."""


def find_inputs(model: nn.Module, example: Tensor) -> Inputs | None:
    """The pixels that linear layers read, or the channels that convolutions read; None where none can be left out.

    Images may pass a flattening, dropout and identities on their way to the layers. A pixel cannot be left out of what
    a convolution reads, since its weights are shared by all of them; a single channel cannot be left out at all.

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
    """[inputs] each: of every input over the trainer's batches, as the network reads them."""
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
    """Paths of the layers that read the images, None for whatever else does."""
    waiting = [next(node for node in graph.nodes if node.op == "placeholder")]
    while waiting:
        for user in waiting.pop().users:
            if _passes_on(user, modules):
                waiting.append(user)
            elif user.op == "call_module" and isinstance(modules[str(user.target)], nn.Linear | nn.Conv2d):
                yield str(user.target)
            elif not _asks_for_the_batch_size(user):
                yield None


def _passes_on(node: Node, modules: dict[str, nn.Module]) -> bool:
    """Whether ``node`` gives on every input of an image, in its place."""
    if node.op == "call_module":
        match modules[str(node.target)]:
            case nn.Flatten() as flatten:
                return flatten.start_dim == 1
            case module:
                return isinstance(module, nn.Identity | nn.Dropout)
    if node.target in ("view", "reshape"):
        return len(node.args) == 3 and bool(node.args[2] == -1)
    return node.target in ("flatten", torch.flatten) and tuple(node.args[1:]) == (1,) and not node.kwargs


def _asks_for_the_batch_size(node: Node) -> bool:
    return node.target == "size" or (node.target is getattr and tuple(node.args[1:]) == ("shape",))
