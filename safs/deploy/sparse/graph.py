"""Read the steps of a network from its graph.

A BatchNorm behind a convolution is folded into its weights, tied layers get weights of their own, and an addition and
an activation behind a convolution become part of it.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx import Node

from safs.activations.module import Activation
from safs.deploy.sparse.activation import FusedActivation, fused
from safs.deploy.sparse.convolution import ConvolutionShape, SparseConvolution
from safs.deploy.sparse.steps import (
    FEATURES,
    PRODUCTS,
    Addition,
    Convolution,
    Elementwise,
    Linear,
    Other,
    Pooling,
    Step,
    as_rows,
)
from safs.deploy.torch_graph import TracedNetwork
from safs.models.shared_weights import SharedConv2d, SharedLinear

_ADD = (torch.add, torch.Tensor.add)
_CONVOLUTIONS = (torch.conv2d, F.conv2d)
_PRODUCTS = (F.linear, torch._C._nn.linear)


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
        if isinstance(_module(node, network.modules), nn.Identity | nn.Dropout) or _is_stochastic_depth(node):
            node.replace_all_uses_with(_argument(node))
            network.graph.erase_node(node)


def _is_stochastic_depth(node: Node) -> bool:
    """True for torchvision's ``stochastic_depth``, which drops nothing in eval mode."""
    module, name = "torchvision.ops.stochastic_depth", "stochastic_depth"
    named = (getattr(node.target, "__module__", ""), getattr(node.target, "__name__", "")) == (module, name)
    return node.op == "call_function" and named


def _step(node: Node, network: TracedNetwork, inside: set[Node]) -> Step:
    module = _module(node, network.modules)
    layer = _layer(node, network, inside)
    if layer is not None and layer.shape is not None:
        return _convolution(node, layer, layer.shape, network.modules, inside)
    if layer is not None:
        return _linear(node, layer, network.modules, inside)
    if isinstance(module, Activation):
        zero = bool(module(torch.zeros(1)).abs().max() == 0)
        return Elementwise(node, _argument(node), module, zero)
    if _is_addition(node):
        return Addition(node, *(value for value in node.args[:2] if isinstance(value, Node)))
    return Other(node, _runner(node, network), _pooling(module), _flattens(node, module))


def _pooling(module: nn.Module | None) -> Pooling | None:
    match module:
        case nn.MaxPool2d(padding=0, dilation=1, ceil_mode=False, return_indices=False):
            return Pooling("max", _pair(module.kernel_size), _pair(module.stride))
        case nn.AvgPool2d(padding=0, ceil_mode=False, divisor_override=None):
            return Pooling("mean", _pair(module.kernel_size), _pair(module.stride))
        case nn.AdaptiveAvgPool2d(output_size=1 | (1, 1)):
            return Pooling("mean", None, None)
    return None


def _flattens(node: Node, module: nn.Module | None) -> bool:
    if isinstance(module, nn.Flatten):
        return (module.start_dim, module.end_dim) == (1, -1)
    flattens = node.target == "flatten" if node.op == "call_method" else node.target is torch.flatten
    return flattens and node.args[1:] == (1,) and not node.kwargs


@dataclass(slots=True)
class _Layer:
    """Weights of a layer, without what follows it."""

    weight: Tensor
    bias: Tensor
    last: Node
    """The node whose value is the layer's: the call itself, or the product with a scale."""
    shape: ConvolutionShape | None
    """None for a linear layer."""
    groups: int = 1


def _layer(node: Node, network: TracedNetwork, inside: set[Node]) -> _Layer | None:
    """The layer that ``node`` calls as a module, or as a function of parameters, as tied layers do."""
    module = _module(node, network.modules)
    shape: ConvolutionShape | None
    match module:
        case nn.Conv2d(padding_mode="zeros"):
            shape = ConvolutionShape(*(_pair(value) for value in (module.stride, _padding(module), module.dilation)))
            weight, bias, groups = module.weight, module.bias, module.groups
        case nn.Linear():
            shape, weight, bias, groups = None, module.weight, module.bias, 1
        case None if node.op == "call_function" and node.target in (*_CONVOLUTIONS, *_PRODUCTS) and not node.kwargs:
            tensors = [_read(value, network) for value in node.args[1:3]]
            if not isinstance(tensors[0], Tensor) or not isinstance(tensors[-1], Tensor | None):
                return None
            weight, bias, shape, groups = tensors[0], tensors[1] if len(tensors) > 1 else None, None, 1
            if node.target in _CONVOLUTIONS:
                settings = (*node.args[3:], *(1, 0, 1, 1)[len(node.args) - 3 :])
                if isinstance(settings[1], str):
                    return None
                shape, groups = ConvolutionShape(*map(_pair, settings[:3])), _pair(settings[3])[0]
        case _:
            return None
    weight = weight.detach()
    bias = torch.zeros(len(weight)) if bias is None else bias.detach()
    scale = module.share_scale.detach() if isinstance(module, SharedConv2d | SharedLinear) else None
    last = node
    following = _only_user(node)
    if scale is None and following is not None and following.target in PRODUCTS:
        other = [_read(value, network) for value in following.args if value is not node]
        if len(other) == 1 and isinstance(other[0], Tensor) and other[0].dim() == 0:
            scale, last = other[0].detach(), following
            inside.add(following)
    if scale is not None:
        weight, bias = weight * scale, bias * scale
    return _Layer(weight.contiguous(), bias, last, shape, groups)


def _linear(node: Node, layer: _Layer, modules: Mapping[str, nn.Module], inside: set[Node]) -> Linear:
    weight, bias, last = layer.weight, layer.bias, layer.last
    node.meta[FEATURES] = weight.shape[1]
    following = _only_user(last)
    norm = None if following is None else _module(following, modules)
    if following is not None and isinstance(norm, nn.BatchNorm1d) and norm.running_mean is not None:
        weight, bias, last = *_folded(weight, bias, norm), following
        inside.add(following)
    return Linear(last, _argument(node), weight, bias, as_rows(weight))


def _convolution(
    node: Node, layer: _Layer, shape: ConvolutionShape, modules: Mapping[str, nn.Module], inside: set[Node]
) -> Convolution:
    weight, bias, last, residual, activation = layer.weight, layer.bias, layer.last, None, None
    norm = _only_user(last)
    batch_norm = None if norm is None else _module(norm, modules)
    if norm is not None and isinstance(batch_norm, nn.BatchNorm2d) and batch_norm.running_mean is not None:
        weight, bias, last = *_folded(weight, bias, batch_norm), norm
        inside.add(norm)
    if (sum_ := _only_user(last)) is not None and _is_addition(sum_):
        other = next((value for value in sum_.args[:2] if value is not last), None)
        if isinstance(other, Node) and _is_before(other, node):
            residual, last = other, sum_
            inside.add(sum_)
    following = _only_user(last)
    if following is not None and isinstance(site := _module(following, modules), Activation):
        activation, last = site, following
        inside.add(following)
    fits = layer.groups == 1 and shape.stride[0] == shape.stride[1]
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
        SparseConvolution(weight, bias, shape) if fits else None,
        weight.contiguous(memory_format=torch.channels_last),
    )


def _read(value: Any, network: TracedNetwork) -> Any:
    """The parameter or buffer that a node reads, or the value itself."""
    if isinstance(value, Node) and value.op == "get_attr":
        return network.tensors.get(str(value.target), value)
    return value


def _pair(value: Any) -> tuple[int, int]:
    rows, columns = value if isinstance(value, tuple | list) else (value, value)
    return int(rows), int(columns)


def _folded(weight: Tensor, bias: Tensor, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of a layer followed by ``norm`` in eval mode, computed in float64."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    factor = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        factor = factor * norm.weight.detach().double()
    shift = (bias.double() - norm.running_mean.double()) * factor
    if norm.bias is not None:
        shift = shift + norm.bias.detach().double()
    return (weight.double() * factor.view(-1, *[1] * (weight.dim() - 1))).float(), shift.float()


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
