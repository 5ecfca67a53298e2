"""Granularities: which weights are pruned together: single weights, groups of a layer's weights, or n of every m.

Rows and columns are those of the matrix [out, in * kernel] by which a convolution is computed, as in Wen, Wu, Wang,
Chen, Li, "Learning Structured Sparsity in Deep Neural Networks" (2016), arXiv:1608.03665. A row is a filter or a
neuron; a column is one kernel position of one input channel, or an input feature of a linear layer.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from safs.errors import SpecError, UnknownNameError
from safs.registry import Registry

LARGEST_BLOCK = 64
PATTERN_FORM = "<n>:<m>"


@dataclass(frozen=True, slots=True)
class Granularity:
    """A way to cut a layer's weights into groups of one size."""

    summary: str
    grouped: Callable[[Tensor], Tensor]
    """Weight, [out, in, *kernel] -> [groups, size]; a view if possible."""
    ungrouped: Callable[[Tensor, torch.Size], Tensor]
    """([groups, size], shape of the weight) -> the weight; undoes ``grouped``. A view if possible."""
    group_size: Callable[[torch.Size], int]
    """Shape of a weight -> number of weights in each group."""
    removes_outputs: bool = False
    """True if a group holds all weights of one output: in the last layer, of one class."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """n:m sparsity: exactly ``kept`` of every ``block`` consecutive input channels, per output and kernel position.

    2:4 is the pattern of sparse tensor cores: Mishra et al., "Accelerating Sparse Deep Neural Networks" (2021),
    arXiv:2104.08378.
    """

    kept: int
    """n, at least 1."""
    block: int
    """m, above n and at most 64."""

    def __str__(self) -> str:
        return f"{self.kept}:{self.block}"


def granularity_named(name: str) -> Granularity | Pattern:
    """Returns the granularity for a name in ``GRANULARITIES`` or a pattern of the form ``<n>:<m>``.

    >>> granularity_named("2:4")
    Pattern(kept=2, block=4)

    Raises:
        UnknownNameError: ``name`` is neither.
        SpecError: the pattern prunes nothing or everything, or its blocks have more than 64 weights.
    """
    if (pattern := re.fullmatch(r"([0-9]{1,9}):([0-9]{1,9})", name)) is None:
        if name not in GRANULARITIES:
            raise UnknownNameError("granularity", name, (*GRANULARITIES, PATTERN_FORM), field="prune.granularity")
        return GRANULARITIES[name]
    kept, block = map(int, pattern.groups())
    if not 1 <= kept < block <= LARGEST_BLOCK:
        raise SpecError(
            f"granularity {name!r} keeps {kept} of every {block} weights; in {PATTERN_FORM}, n must be at least 1 and "
            f"below m, and m at most {LARGEST_BLOCK}, as in '2:4'.",
            field="prune.granularity",
        )
    return Pattern(kept, block)


def _single(weight: Tensor) -> Tensor:
    return weight.reshape(-1, 1)


def _rows(weight: Tensor) -> Tensor:
    return weight.flatten(1)


def _columns(weight: Tensor) -> Tensor:
    return weight.flatten(1).T


def _channels(weight: Tensor) -> Tensor:
    return weight.transpose(0, 1).flatten(1)


def _reshaped(groups: Tensor, shape: torch.Size) -> Tensor:
    return groups.reshape(shape)


def _from_columns(groups: Tensor, shape: torch.Size) -> Tensor:
    return groups.T.reshape(shape)


def _from_channels(groups: Tensor, shape: torch.Size) -> Tensor:
    return groups.reshape(shape[1], shape[0], *shape[2:]).transpose(0, 1)


def _one(shape: torch.Size) -> int:
    return 1


def _row_size(shape: torch.Size) -> int:
    return shape[1:].numel()


def _column_size(shape: torch.Size) -> int:
    return shape[0]


def _channel_size(shape: torch.Size) -> int:
    return shape.numel() // shape[1]


GRANULARITIES: Registry[Granularity] = Registry(
    "granularity",
    {
        "weight": Granularity("single weights", _single, _reshaped, _one),
        "filter": Granularity(
            "filters of a convolution and neurons of a linear layer", _rows, _reshaped, _row_size, removes_outputs=True
        ),
        "input_channel": Granularity(
            "all weights that read one input channel or feature", _channels, _from_channels, _channel_size
        ),
        "column": Granularity(
            "the weights of all filters at one kernel position of one input channel",
            _columns,
            _from_columns,
            _column_size,
        ),
        "row": Granularity(
            "rows of the weight matrix, one per output, set to zero",
            _rows,
            _reshaped,
            _row_size,
            removes_outputs=True,
        ),
    },
)
"""Granularities by name; ``granularity_named`` also takes patterns n:m."""
