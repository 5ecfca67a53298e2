"""Remove the weights of dead channels: those that are constant, and those that nothing reads.

A channel without live weights has the value act(bias) at every pixel. A layer that reads it needs no weights for it:
their products with the constant go into the layer's bias. With zero padding that holds for the constant 0 alone, since
the padding differs from other constants. A channel that no layer has weights for needs no weights itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.fx import Node

from safs.deploy.sparse.convolution import SparseConvolution
from safs.deploy.sparse.steps import FEATURES, Convolution, Elementwise, Linear, Other, Step, as_rows, inputs_of


@dataclass(frozen=True, slots=True)
class _Constants:
    """The channels of a value that are constant over all images and pixels."""

    known: Tensor
    """bool [channels]."""
    values: Tensor
    """float32 [channels]; 0 where not known."""


def without_dead_channels(steps: Sequence[Step], output: Node) -> list[Step]:
    """The steps with fewer live weights, and the same outputs up to rounding."""
    with torch.no_grad():
        return _without_unread(_without_constants(steps), output)


def _without_constants(steps: Sequence[Step]) -> list[Step]:
    found: dict[Node, _Constants] = {}
    changed: list[Step] = []
    for step in steps:
        read = next(inputs_of(step), None)
        source = None if read is None else found.get(read)
        if source is not None:
            step = _carried_on(step, source)
        changed.append(step)
        constants = _constants_of(step, source, found)
        if constants is not None and bool(constants.known.any()):
            found[step.node] = constants
    return changed


def _carried_on(step: Step, source: _Constants) -> Step:
    """The step without weights for the constants that it reads."""
    match step:
        case Convolution(groups=1):
            gone = source.known & ((source.values == 0) | (step.shape.padding == (0, 0)))
        case Linear() if step.weight.shape[1] == len(source.known):
            gone = source.known
        case _:
            return step
    if not bool(step.weight[:, gone].any()):
        return step
    taken = step.weight[:, gone].double().reshape(len(step.weight), int(gone.sum()), -1).sum(2)
    bias = (step.bias.double() + taken @ source.values[gone].double()).float()
    return _with_weights(step, step.weight.masked_fill(_along_inputs(gone, step.weight), 0.0), bias)


def _constants_of(step: Step, source: _Constants | None, found: dict[Node, _Constants]) -> _Constants | None:
    match step:
        case Convolution():
            known, values = ~step.weight.flatten(1).any(1), step.bias
            if step.residual is not None:
                other = found.get(step.residual)
                if other is None:
                    return None
                known, values = known & other.known, values + other.values
            values = values if step.activation is None else step.activation(values[None, :, None, None]).flatten()
        case Linear():
            known, values = ~step.weight.any(1), step.bias
        case Elementwise() if source is not None:
            known, values = source.known, step.function(source.values)
        case Other() if source is not None and step.pool is not None:
            known, values = source.known, source.values
        case Other() if source is not None and step.flattens:
            return _flattened(step, source)
        case _:
            return None
    return _Constants(known, values.where(known, values.new_zeros(())))


def _flattened(step: Other, source: _Constants) -> _Constants | None:
    """Features of constants, channel after channel; their number is that of the linear layer behind them."""
    sizes = {user.meta.get(FEATURES) for user in step.node.users}
    features = sizes.pop() if len(sizes) == 1 else None
    if features is None or features % len(source.known):
        return None
    pixels = features // len(source.known)
    return _Constants(source.known.repeat_interleave(pixels), source.values.repeat_interleave(pixels))


def _without_unread(steps: Sequence[Step], output: Node) -> list[Step]:
    """Drop the weights of channels that only layers read, none of which has weights for them."""
    read: dict[Node, Tensor | None] = {output: None}
    changed: list[Step] = []
    for step in reversed(steps):
        wanted = read.get(step.node)
        if isinstance(step, Convolution) and wanted is not None and len(wanted) == len(step.weight):
            step = _kept(step, wanted)
        changed.append(step)
        for place, node in enumerate(inputs_of(step)):
            own = _read_by(step) if place == 0 else None
            before = read.get(node, own)
            read[node] = None if own is None or before is None else before | own
    return changed[::-1]


def _read_by(step: Step) -> Tensor | None:
    """bool [channels]: those of its input that the step reads; None if it is no layer."""
    if isinstance(step, Convolution) and step.groups == 1:
        return step.weight.transpose(0, 1).flatten(1).any(1)
    return None


def _kept(step: Convolution, wanted: Tensor) -> Step:
    if not bool(step.weight[~wanted].any()):
        return step
    weight = step.weight.masked_fill(~wanted.view(-1, *[1] * (step.weight.dim() - 1)), 0.0)
    return _with_weights(step, weight, step.bias)


def _with_weights(step: Convolution | Linear, weight: Tensor, bias: Tensor) -> Step:
    if isinstance(step, Linear):
        return replace(step, weight=weight, bias=bias, rows=as_rows(weight))
    sparse = None if step.sparse is None else SparseConvolution(weight, bias, step.shape)
    channels_last = weight.contiguous(memory_format=torch.channels_last)
    return replace(step, weight=weight, bias=bias, sparse=sparse, channels_last=channels_last)


def _along_inputs(channels: Tensor, weight: Tensor) -> Tensor:
    return channels.view(1, -1, *[1] * (weight.dim() - 2))
