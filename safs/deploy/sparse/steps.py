"""A network as steps: convolutions with what is folded into them, linear layers, and everything else as it is.

A BatchNorm behind a convolution is folded into its weights, tied layers get weights of their own, and an addition and
an activation behind a convolution become part of it.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx import Node

from safs.activations.module import Activation
from safs.deploy.sparse.activation import FusedActivation, fused
from safs.deploy.sparse.convolution import ConvolutionShape, SparseConvolution
from safs.deploy.torch_graph import TracedNetwork
from safs.models.shared_weights import SharedConv2d, SharedLinear

_ADD = (torch.add, torch.Tensor.add)


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
    bias: Tensor | None
    rows: Tensor
    """The weight as a CSR tensor."""

    def dense(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    def csr(self, x: Tensor) -> Tensor:
        """The same by a product with the sparse matrix."""
        flat = x.reshape(-1, x.shape[-1])
        y = (self.rows @ flat.t()).t()
        return (y if self.bias is None else y + self.bias).reshape(*x.shape[:-1], -1)


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


@dataclass(eq=False, slots=True)
class Other:
    """Any other node."""

    node: Node
    run: Callable[..., Any]


Step: TypeAlias = Convolution | Linear | Elementwise | Addition | Other


def steps_of(network: TracedNetwork) -> tuple[list[Step], Node]:
    """The steps of a traced network, and the node of its output."""
    _skip_identities(network)
    nodes = list(network.graph.nodes)
    output = nodes[-1].args[0]
    assert isinstance(output, Node)
    steps: list[Step] = []
    inside: set[Node] = set()
    for node in nodes:
        if node in inside or node.op in ("placeholder", "output"):
            continue
        step = _step(node, network, inside)
        steps.append(step)
    return steps, output


def _skip_identities(network: TracedNetwork) -> None:
    """Let users of a layer that does nothing in eval mode use its input."""
    for node in list(network.graph.nodes):
        if isinstance(_module(node, network.modules), nn.Identity | nn.Dropout):
            node.replace_all_uses_with(_argument(node))
            network.graph.erase_node(node)


def _step(node: Node, network: TracedNetwork, inside: set[Node]) -> Step:
    module = network.modules.get(str(node.target)) if node.op == "call_module" else None
    match module:
        case nn.Conv2d(padding_mode="zeros"):
            return _convolution(node, module, network.modules, inside)
        case nn.Linear():
            scale = module.share_scale if isinstance(module, SharedLinear) else 1.0
            weight = (module.weight * scale).detach().contiguous()
            bias = None if module.bias is None else (module.bias * scale).detach()
            return Linear(node, _argument(node), weight, bias, weight.to_sparse_csr())
        case Activation():
            zero = bool(module(torch.zeros(1)).abs().max() == 0)
            return Elementwise(node, _argument(node), module, zero)
    if _is_addition(node):
        return Addition(node, *(value for value in node.args[:2] if isinstance(value, Node)))
    return Other(node, _runner(node, network))


def _convolution(node: Node, layer: nn.Conv2d, modules: Mapping[str, nn.Module], inside: set[Node]) -> Convolution:
    scale = layer.share_scale if isinstance(layer, SharedConv2d) else torch.ones(())
    weight = (layer.weight * scale).detach().contiguous()
    bias = (torch.zeros(len(weight)) if layer.bias is None else layer.bias * scale).detach()
    last, residual, activation = node, None, None
    if (norm := _only_user(last)) is not None and isinstance(batch_norm := _module(norm, modules), nn.BatchNorm2d):
        weight, bias, last = *_folded(weight, bias, batch_norm), norm
        inside.add(norm)
    if (sum_ := _only_user(last)) is not None and _is_addition(sum_):
        other = next(value for value in sum_.args[:2] if value is not last)
        if isinstance(other, Node) and _is_before(other, node):
            residual, last = other, sum_
            inside.add(sum_)
    following = _only_user(last)
    if following is not None and isinstance(site := _module(following, modules), Activation):
        activation, last = site, following
        inside.add(following)
    shape = ConvolutionShape(*((int(a), int(b)) for a, b in (layer.stride, _padding(layer), layer.dilation)))
    fits = layer.groups == 1 and shape.stride[0] == shape.stride[1]
    sparse = SparseConvolution(weight, bias, shape) if fits else None
    channels_last = weight.contiguous(memory_format=torch.channels_last)
    return Convolution(
        last,
        _argument(node),
        residual,
        weight,
        bias,
        shape,
        layer.groups,
        activation,
        FusedActivation() if activation is None else fused(activation),
        sparse,
        channels_last,
    )


def _folded(weight: Tensor, bias: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution followed by ``norm`` in eval mode, computed in float64."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    factor = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        factor = factor * norm.weight.detach().double()
    shift = (bias.double() - norm.running_mean.double()) * factor
    if norm.bias is not None:
        shift = shift + norm.bias.detach().double()
    return (weight.double() * factor[:, None, None, None]).float(), shift.float()


def _padding(layer: nn.Conv2d) -> tuple[int, int]:
    if layer.padding == "same":
        rows, columns = (d * (k - 1) // 2 for d, k in zip(layer.dilation, layer.kernel_size, strict=True))
        return rows, columns
    if layer.padding == "valid":
        return 0, 0
    assert not isinstance(layer.padding, str)
    rows, columns = layer.padding
    return int(rows), int(columns)


def _runner(node: Node, network: TracedNetwork) -> Callable[..., Any]:
    match node.op:
        case "call_module":
            return network.modules[str(node.target)]
        case "call_function":
            assert callable(node.target)
            return node.target
        case "call_method":
            name = str(node.target)
            return lambda x, *args, **kwargs: getattr(x, name)(*args, **kwargs)
    tensor = network.tensors[str(node.target)].detach()
    return lambda: tensor


def _argument(node: Node) -> Node:
    first = node.args[0]
    assert isinstance(first, Node)
    return first


def _module(node: Node, modules: Mapping[str, nn.Module]) -> nn.Module | None:
    return modules[str(node.target)] if node.op == "call_module" else None


def _only_user(node: Node) -> Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _is_addition(node: Node) -> bool:
    adds = node.op == "call_function" and node.target in (operator.add, operator.iadd, *_ADD)
    return adds and not node.kwargs and len(node.args) == 2 and all(isinstance(value, Node) for value in node.args)


def _is_before(first: Node, second: Node) -> bool:
    node = second.prev
    while node.op != "root":
        if node is first:
            return True
        node = node.prev
    return False
