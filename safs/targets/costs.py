"""Costs of a network as functions of how many weights each layer keeps."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import lgamma, log

import torch
from torch import Tensor, nn

from safs.metrics.flops import dense_flops
from safs.pruning.masks import prunable_parameters

VALUE_BITS = 26.5
"""Bits of a live weight in the compact checkpoint: 21 of sign and mantissa as they are, the others coded."""
_LEAST_VALUE_BITS = 21.0
_TENSOR_BYTES = 80
"""Bytes of the header of a safetensors file for a tensor, beside its name."""
_CODED_BYTES = 48
"""Header of a coded tensor, and its table of frequencies."""
_FILE_BYTES = 400


@dataclass(frozen=True, slots=True)
class Shape:
    """The parts of a network that its costs depend on, known from shapes alone."""

    sizes: Mapping[str, int]
    """Prunable weight -> its number of weights."""
    flops: Mapping[str, int]
    """Prunable weight -> operations for one image that read it."""
    all_flops: int
    """All operations for one image."""
    other_bytes: int
    """Bytes of the tensors beside the prunable weights."""
    header_bytes: int
    """Bytes of a checkpoint beside the tensors."""

    def flops_left(self, live: Mapping[str, int]) -> float:
        """The fraction of the operations that is left with ``live`` weights in each layer."""
        saved = sum(self.flops[name] * (1 - live[name] / size) for name, size in self.sizes.items())
        return 1 - saved / self.all_flops

    def bytes_left(self, live: Mapping[str, int], value_bits: float = VALUE_BITS) -> float:
        """The size of the compact checkpoint with ``live`` weights in each layer, estimated by entropy."""
        fixed = self.other_bytes + self.header_bytes
        return fixed + sum(_coded_bytes(size, live[name], value_bits) for name, size in self.sizes.items())

    def fewest_bytes_left(self, live: Mapping[str, int]) -> float:
        """A size that the compact checkpoint is not below."""
        return self.bytes_left(live, _LEAST_VALUE_BITS)


def shape_of(model: nn.Module, example: Tensor) -> Shape:
    """The shape of ``model``, which can be on the meta device, for an image [1, channels, height, width]."""
    prunable = prunable_parameters(model)
    all_flops, flops = dense_flops(model, prunable, example)
    state: dict[str, Tensor] = model.state_dict()
    other = sum(tensor.nbytes for name, tensor in state.items() if name not in prunable)
    header = sum(len(name) + _TENSOR_BYTES for name in state) + _FILE_BYTES
    return Shape({name: weight.numel() for name, weight in prunable.items()}, flops, all_flops, other, header)


def live_in(masks: Mapping[str, Tensor]) -> dict[str, int]:
    """The live weights of each mask."""
    return {name: int(torch.count_nonzero(mask)) for name, mask in masks.items()}


def _coded_bytes(size: int, live: int, value_bits: float) -> float:
    if live == 0:
        return _CODED_BYTES
    positions = (lgamma(size + 1) - lgamma(live + 1) - lgamma(size - live + 1)) / log(2)
    return min(4 * size, _CODED_BYTES + (positions + live * value_bits) / 8)
