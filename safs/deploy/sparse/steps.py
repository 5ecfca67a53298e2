"""The steps of a network: convolutions with what is folded into them, linear layers, and everything else as it is."""

import operator
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.fx import Node

from safs.activations.module import Activation
from safs.deploy.sparse.activation import FusedActivation
from safs.deploy.sparse.convolution import ConvolutionShape, SparseConvolution

FEATURES = "features"
"""Entry of a node's ``meta``: number of inputs of the linear layer that it calls."""
PRODUCTS = (operator.mul, torch.mul)
"""Functions of two values that multiply them."""
COPIES = ("clone", "contiguous")
"""Methods whose result has the values of the tensor."""
_POINTWISE = ConvolutionShape((1, 1), (0, 0), (1, 1))


@dataclass(eq=False, slots=True)
class Convolution:
    """act(conv(x) + residual)."""

    node: Node
    """The node whose value the step computes."""
    input: Node
    residual: Node | None
    weight: Tensor
    """float32 [output channels, input channels / groups, height, width], with BatchNorm and scale folded."""
    bias: Tensor
    shape: ConvolutionShape
    groups: int
    activation: Activation | None
    fused: FusedActivation
    """The same, as the sparse convolution applies it."""
    sparse: SparseConvolution | None
    """None where the layer is grouped or has different strides for rows and columns."""
    channels_last: Tensor
    """The weight in the layout in which some convolutions are faster."""

    def dense(self, x: Tensor, residual: Tensor | None, *, channels_last: bool = False) -> Tensor:
        """The step by torch."""
        shape = self.shape
        weight = self.channels_last if channels_last else self.weight
        if channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        y = F.conv2d(x, weight, self.bias, shape.stride, shape.padding, shape.dilation, self.groups)
        if residual is not None:
            y += residual
        return y if self.activation is None else self.activation(y)


@dataclass(eq=False, slots=True)
class Linear:
    """x W^T + b for x of any number of dimensions."""

    node: Node
    input: Node
    weight: Tensor
    bias: Tensor
    """BatchNorm and scale are folded into weight and bias."""
    rows: Tensor
    """The weight as a CSR tensor."""
    _pointwise: SparseConvolution | None = field(default=None, init=False)

    def dense(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    def csr(self, x: Tensor) -> Tensor:
        """The same by a product with the sparse matrix."""
        flat = x.reshape(-1, x.shape[-1])
        y = (self.rows @ flat.t()).t()
        return (y + self.bias).reshape(*x.shape[:-1], -1)

    @property
    def density(self) -> float:
        """The fraction of the weights that are not zero."""
        return len(self.rows.values()) / self.weight.numel()

    def pointwise(self) -> SparseConvolution:
        """The layer as a convolution of images with one pixel, for two-dimensional x."""
        if self._pointwise is None:
            self._pointwise = SparseConvolution(self.weight[:, :, None, None], self.bias, _POINTWISE)
        return self._pointwise


@dataclass(eq=False, slots=True)
class Elementwise:
    """An activation, which needs no other layout; ``keeps_zero`` if f(0) = 0."""

    node: Node
    input: Node
    function: Callable[[Tensor], Tensor]
    keeps_zero: bool


@dataclass(eq=False, slots=True)
class Addition:
    """The sum of two activations."""

    node: Node
    input: Node
    other: Node


@dataclass(frozen=True, slots=True)
class Pooling:
    """The largest value or the mean of windows, without padding."""

    kind: str
    """``max`` or ``mean``."""
    window: tuple[int, int] | None
    """Rows and columns; None is the whole image."""
    stride: tuple[int, int] | None
    """Distance of two windows; None for the whole image."""


@dataclass(eq=False, slots=True)
class Other:
    """Any other node."""

    node: Node
    run: Callable[..., Any]
    pool: Pooling | None = None
    """The pooling that the node computes; None if it is something else."""
    flattens: bool = False
    """True if the node makes [batch, features] of images."""

    @property
    def input(self) -> Node:
        """The first input."""
        return self.node.all_input_nodes[0]


Step: TypeAlias = Convolution | Linear | Elementwise | Addition | Other


def as_rows(weight: Tensor) -> Tensor:
    """The weight as a CSR tensor, without PyTorch's notice that these are in beta."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR", category=UserWarning)
        return weight.to_sparse_csr()


def inputs_of(step: Step) -> Iterator[Node]:
    """The nodes whose values a step reads."""
    match step:
        case Convolution():
            yield step.input
            if step.residual is not None:
                yield step.residual
        case Linear() | Elementwise():
            yield step.input
        case Addition():
            yield step.input
            yield step.other
        case Other():
            yield from step.node.all_input_nodes


def activation_behind(step: Step, following: Step | None) -> Activation | None:
    """The activation that follows a linear layer and is alone in reading it."""
    if not isinstance(step, Linear) or not isinstance(following, Elementwise) or following.input is not step.node:
        return None
    return following.function if len(step.node.users) == 1 and isinstance(following.function, Activation) else None


def last_uses(steps: list[Step], output: Node) -> dict[Node, list[Node]]:
    """A step's node -> nodes whose values are not needed after it."""
    last = {node: step.node for step in steps for node in inputs_of(step)}
    uses: dict[Node, list[Node]] = {}
    for node, user in last.items():
        if node is not output:
            uses.setdefault(user, []).append(node)
    return uses
