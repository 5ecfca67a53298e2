"""Layers of several networks as one, which a stacked network has in place of the network's own.

A stack of K networks works on merged batches: the value of image b in network k stands in row ``b * K + k``. Everything
that treats the rows of a batch one by one, such as pooling, addition or flattening, needs no change. Only layers with
parameters, batch norm, dropout and operators are replaced, by ``stacked_layer``.

A value that does not depend on the networks yet, such as the images, has the B rows of the batch. The first layer
computes all networks from these rows in one ordinary convolution or product.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from safs.activations.module import Activation
from safs.training.stacked.activation import StackedActivation
from safs.training.stacked.stack import NotStackable, Stack, StackedLayer, split


class StackedLinear(StackedLayer):
    """Linear layers as one batched product."""

    def forward(self, x: Tensor) -> Tensor:
        """[B * K or B, ..., inputs] -> [B * K, ..., outputs]."""
        weight, bias = self.given["weight"], self.given.get("bias")
        if self.stack.is_shared(x):
            product = split(F.linear(x, weight.flatten(0, 1)), -1, weight.shape[:2])
            spread = product.movedim(-2, 1)  # [B, K, ..., outputs]
            if bias is not None:
                spread = spread + _by_network(bias, spread)
            return spread.flatten(0, 1)
        rows = self.stack.apart(x).transpose(0, 1)  # [K, B, ..., inputs]
        vectors = rows.flatten(1, -2)
        if bias is None:
            product = torch.bmm(vectors, weight.transpose(1, 2))
        else:
            product = torch.baddbmm(bias.unsqueeze(1), vectors, weight.transpose(1, 2))
        return product.view(*rows.shape[:-1], weight.shape[1]).transpose(0, 1).flatten(0, 1)


class StackedConvolution(StackedLayer):
    """Convolutions as one with K groups for each group of theirs."""

    def __init__(self, stack: Stack, layer: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> None:
        super().__init__(stack)
        self._convolve: Callable[..., Tensor] = _CONVOLUTIONS[type(layer)]
        self._settings = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}
        self._groups = layer.groups

    def forward(self, x: Tensor) -> Tensor:
        """[B * K or B, channels, ...] -> [B * K, outputs, ...]."""
        weight, bias = self.given["weight"], self.given.get("bias")
        if self.stack.is_shared(x) and self._groups == 1:
            images, groups = x, 1
        else:
            images, groups = self.stack.apart(x).flatten(1, 2), self.stack.size * self._groups
        flat_bias = None if bias is None else bias.flatten()
        result = self._convolve(images, weight.flatten(0, 1), flat_bias, groups=groups, **self._settings)
        return split(result, 1, (self.stack.size, -1)).flatten(0, 1)


class StackedBatchNorm(StackedLayer):
    """Batch norms as one over the channels of all networks, each with its own statistics."""

    def __init__(self, stack: Stack, layers: Sequence[_BatchNorm]) -> None:
        super().__init__(stack)
        self._eps, self._momentum = layers[0].eps, layers[0].momentum
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            values = [getattr(layer, name) for layer in layers]
            self.register_buffer(name, None if values[0] is None else torch.stack(values))

    def forward(self, x: Tensor) -> Tensor:
        """[B * K or B, channels, ...] -> [B * K, channels, ...]."""
        mean, var = self._statistics("running_mean"), self._statistics("running_var")
        if self.training and (count := self._buffers["num_batches_tracked"]) is not None:
            count.add_(1)
        weight, bias = (self.given[name].flatten() if name in self.given else None for name in ("weight", "bias"))
        merged = self.stack.apart(x).flatten(1, 2)
        by_batch = self.training or mean is None
        result = F.batch_norm(merged, mean, var, weight, bias, by_batch, self._momentum or 0.0, self._eps)
        return split(result, 1, (self.stack.size, -1)).flatten(0, 1)

    def _statistics(self, name: str) -> Tensor | None:
        values = self._buffers[name]
        return None if values is None else values.flatten()  # A view, so that a training step updates the buffer.


class StackedLayerNorm(StackedLayer):
    """Layer norms; each image is normalised by itself, then scaled by its network's parameters."""

    def __init__(self, stack: Stack, layer: nn.LayerNorm) -> None:
        super().__init__(stack)
        self._shape, self._eps = tuple(layer.normalized_shape), layer.eps

    def forward(self, x: Tensor) -> Tensor:
        """[B * K or B, ..., *shape] -> [B * K, ..., *shape]."""
        spread = self.stack.apart(F.layer_norm(x, self._shape, eps=self._eps))
        for name, join in (("weight", torch.mul), ("bias", torch.add)):
            if name in self.given:
                values = self.given[name]
                spread = join(
                    spread, values.view(1, len(values), *[1] * (spread.dim() - 1 - values.dim()), *self._shape)
                )
        return spread.flatten(0, 1)


class StackedDropout(StackedLayer):
    """Dropout that drops the same values in every network, as trainings with one seed do."""

    def __init__(self, stack: Stack, layer: nn.Module) -> None:
        super().__init__(stack)
        self._layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """[B * K or B, ...] -> the same shape."""
        if not self.training:
            return x
        if self.stack.is_shared(x):
            return x * self._drawn(x)
        spread = self.stack.apart(x)
        return (spread * self._drawn(spread[:, 0]).unsqueeze(1)).flatten(0, 1)

    def _drawn(self, x: Tensor) -> Tensor:
        drawn: Tensor = self._layer(torch.ones_like(x))
        return drawn


def stacked_layer(stack: Stack, layers: Sequence[nn.Module], path: str) -> nn.Module:
    """The layer in place of ``layers``, the same one of each network.

    A layer that treats each image by itself and has no parameters stays as it is.

    Raises:
        NotStackable: the table has no such layer.
    """
    layer = layers[0]
    for kind, make in _KINDS.items():
        if type(layer) in kind:
            return make(stack, layers)
    if any(True for _ in (*layer.parameters(), *layer.buffers())) or type(layer) in _UNSUITABLE:
        raise NotStackable(f"the layer {path} is a {type(layer).__name__}, which cannot be stacked")
    return layer


def _convolution(stack: Stack, layers: Sequence[Any]) -> nn.Module:
    if layers[0].padding_mode != "zeros":
        raise NotStackable(f"a convolution pads by {layers[0].padding_mode!r}, which cannot be stacked")
    return StackedConvolution(stack, layers[0])


def _batch_norm(stack: Stack, layers: Sequence[Any]) -> nn.Module:
    if layers[0].momentum is None and layers[0].track_running_stats:
        raise NotStackable("a batch norm averages over all batches, which cannot be stacked")
    return StackedBatchNorm(stack, layers)


_CONVOLUTIONS: Mapping[type[nn.Module], Callable[..., Tensor]] = {
    nn.Conv1d: F.conv1d,
    nn.Conv2d: F.conv2d,
    nn.Conv3d: F.conv3d,
}
_KINDS: Mapping[tuple[type[nn.Module], ...], Callable[[Stack, Sequence[Any]], nn.Module]] = {
    (nn.Linear,): lambda stack, layers: StackedLinear(stack),
    tuple(_CONVOLUTIONS): _convolution,
    (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d): _batch_norm,
    (nn.LayerNorm,): lambda stack, layers: StackedLayerNorm(stack, layers[0]),
    (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d): lambda stack, layers: StackedDropout(stack, layers[0]),
    (Activation,): StackedActivation,
}
_UNSUITABLE = (nn.AlphaDropout, nn.FeatureAlphaDropout, nn.RReLU)
"""Layers without parameters that draw other random numbers for each network."""


def _by_network(values: Tensor, spread: Tensor) -> Tensor:
    """[K, outputs] -> [1, K, 1, ..., outputs], with as many dimensions as ``spread``."""
    return values.view(1, values.shape[0], *[1] * (spread.dim() - 3), values.shape[1])
