"""What is pruned together: single weights, or groups of a layer's weights, or n of every m.

Rows and columns are those of the matrix [out, in * kernel] as which a convolution is computed, as in Wen, Wu, Wang,
Chen, Li, "Learning Structured Sparsity in Deep Neural Networks" (2016), arXiv:1608.03665: a row is a filter or a
neuron, a column is one place of one input channel, a whole input channel in a linear layer.
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
    """Weight, [out, in, *kernel] -> [groups, size]; a view where that can be."""
    ungrouped: Callable[[Tensor, torch.Size], Tensor]
    """([groups, size], the weight's shape) -> what ``grouped`` was given; a view where that can be."""
    group_size: Callable[[torch.Size], int]
    """Shape of a weight -> weights in each of its groups."""
    removes_outputs: bool = False
    """Whether a group is all that makes one output: in the last layer, all that recognises a class."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """Exactly ``kept`` of every ``block`` consecutive weights of a row.

    As sparse tensor cores take it for 2:4: Mishra et al., "Accelerating Sparse Deep Neural Networks" (2021),
    arXiv:2104.08378.
    """

    kept: int
    block: int

    def __str__(self) -> str:
        return f"{self.kept}:{self.block}"


def granularity_named(name: str) -> Granularity | Pattern:
    """The granularity of a name of ``GRANULARITIES`` or of the form ``<n>:<m>``.

    >>> granularity_named("2:4")
    Pattern(kept=2, block=4)

    Raises:
        UnknownNameError: it is neither.
        SpecError: n of m that prunes nothing or everything, or blocks of more than 64.
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
            "all that reads one input channel or feature", _channels, _from_channels, _channel_size
        ),
        "column": Granularity(
            "all that reads one place of one input channel, in every filter", _columns, _from_columns, _column_size
        ),
        "row": Granularity(
            "rows of the weight matrix, one for each output, as zeros",
            _rows,
            _reshaped,
            _row_size,
            removes_outputs=True,
        ),
    },
)
"""By name; beside them there are the patterns n of m (see ``granularity_named``)."""
