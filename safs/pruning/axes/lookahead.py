"""Norms of the weights before and after each weight, for lookahead scores.

The network is run once on norms instead of activations: every prunable layer outputs, in each channel, the squared
norm of the weights that make that channel. The inputs of a layer are then the squared norms before its weights. The
norms after come from a gradient: that of the sum over all layers of input times squared norm of the reading weights,
with respect to the layer's output. In this way pooling, flattening, concatenation and slices need no rules.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx import Graph, Interpreter, Node
from torch.fx.node import map_aggregate
from torch.nn.modules.batchnorm import _BatchNorm

from safs.activations.calls import activation_call, name_of
from safs.activations.symbolic_trace import trace


def neighbour_norms(model: nn.Module, weights: Mapping[str, Tensor], image: torch.Size) -> dict[str, Tensor]:
    """Returns, by weight name, norm before times norm after each weight, [out, in / groups, 1, ...], not below 0.

    The norm before w_ij is that of all weights whose summed outputs are input j; the norm after it is that of all
    weights that read output i. Without such weights (at the image, the logits, or a product of two activations as in
    attention) the norm is 1. Several neighbours count as one layer, with their squares added. Shortcuts pass norms on,
    so the blocks of a residual network are neighbours of all later ones. Batch norm multiplies by |scale|, as in the
    paper; other norms and all activations count as the identity, and a gate x * g as a sum.

    Args:
        model: in eval mode, on one device; left as it is.
        weights: the model's prunable parameters, detached and masked.
        image: shape of an image, [channels, height, width].

    Raises:
        SurgeryError: the model does not trace.
    """
    flow = _Norms(model, weights)
    some = next(iter(weights.values()))
    with torch.enable_grad():
        flow.run(torch.ones(1, *image, dtype=some.dtype, device=some.device))
        after = torch.autograd.grad(flow.read, list(flow.made.values()), allow_unused=True)
    squared_after = dict(zip(flow.made, after, strict=True))
    return {name: _factors(weight, flow.before.get(name), squared_after.get(name)) for name, weight in weights.items()}


def _factors(weight: Tensor, before: Tensor | None, after: Tensor | None) -> Tensor:
    """Returns the square roots of ``before``, [inputs], and ``after``, [outputs], multiplied for each weight."""
    outputs, inputs = weight.shape[:2]
    before, after = (
        weight.new_ones(size) if squares is None else squares.clamp(min=0).sqrt().nan_to_num(1.0, 1.0)
        for squares, size in ((before, inputs), (after, outputs))
    )
    groups = len(before) // inputs
    by_input = before.view(groups, 1, inputs).expand(groups, outputs // groups, inputs).reshape(outputs, inputs)
    return (by_input * after.unsqueeze(1)).view(outputs, inputs, *(1,) * (weight.dim() - 2))


class _Norms(Interpreter):
    """Runs a traced model on squared norms, which are the same at all positions of a channel."""

    def __init__(self, model: nn.Module, weights: Mapping[str, Tensor]) -> None:
        traced = trace(model, training=False)
        super().__init__(model, graph=traced.graph)
        self.before: dict[str, Tensor] = {}
        """Weight name -> the inputs of its layer, [inputs]."""
        self.made: dict[str, Tensor] = {}
        """Weight name -> the outputs of its layer, [outputs]; a leaf, for the gradient."""
        self.read = torch.zeros((), device=next(iter(weights.values())).device)
        """Sum over all layers of their inputs times the squared norms of the weights that read them."""
        self._constants = traced.constants
        self._modules = dict(model.named_modules())
        self._from_image = _reached_from_image(traced.graph)
        parameters = dict(model.named_parameters(remove_duplicate=False))
        self._weights = {id(parameters[name]): (name, weight) for name, weight in weights.items()}

    def fetch_attr(self, target: str) -> Any:
        """Returns a parameter, a buffer, or a constant of the trace."""
        return self._constants[target] if target in self._constants else super().fetch_attr(target)

    def run_node(self, node: Node) -> Any:
        """Returns the value of ``node`` in norms."""
        values = list(self._tensors(node))
        if node.op == "output":
            for value in values:
                self.read = self.read + _by_channel(value).sum()
            return super().run_node(node)
        if values and (activation_call(node, self._modules) is not None or self._calls(node, _PASSED)):
            return values[0]
        if values and self._calls(node, _ADDED):
            return sum(values[1:], values[0])
        if values and self._calls(node, _MIXED):
            return self._without_weights(node, values)
        if node.op == "call_function" and node.target is F.batch_norm:
            args, kwargs = self.fetch_args_kwargs_from_env(node)
            return _batch_norm(*args, **kwargs)
        return super().run_node(node)

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        """Returns the value of a leaf module in norms."""
        module = self._modules[str(target)]
        if (found := self._weights.get(id(getattr(module, "weight", None)))) is not None:
            return self._layer(*found, module, args[0])
        if isinstance(module, _BatchNorm):
            return _batch_norm(args[0], module.running_mean, module.running_var, module.weight, eps=module.eps)
        return super().call_module(target, args, kwargs)

    def _layer(self, name: str, weight: Tensor, module: nn.Module, x: Tensor) -> Tensor:
        squares = weight.square().flatten(2).sum(2) if weight.dim() > 2 else weight.square()
        groups = int(getattr(module, "groups", 1))
        reads = squares.view(groups, -1, squares.shape[1]).sum(1).flatten()
        dim = -1 if isinstance(module, nn.Linear) else 1
        value = _by_channel(x, dim)
        self.read = self.read + (value * reads).sum()
        self.before[name] = self.before.get(name, 0) + value.detach()
        made = self.made.setdefault(name, squares.sum(1).requires_grad_())
        with torch.no_grad():
            shape = module(x).shape
        return made.view(-1, *(1,) * (0 if dim == -1 else len(shape) - 2)).expand(shape).clone()

    def _without_weights(self, node: Node, values: list[Tensor]) -> Any:
        """Handles a call that mixes values without prunable weights: its inputs end there, and its outputs are 1."""
        for value in values:
            self.read = self.read + _by_channel(value).sum()
        with torch.no_grad():
            output = super().run_node(node)
        return map_aggregate(output, _as_ones)

    def _tensors(self, node: Node) -> Iterator[Tensor]:
        """Yields the floating-point tensors among the node's arguments that depend on the image."""
        for source in node.all_input_nodes:
            if source in self._from_image and _is_float(value := self.env[source]):
                yield value

    def _calls(self, node: Node, names: frozenset[str]) -> bool:
        if node.op == "call_module":
            return type(self._modules[str(node.target)]).__name__ in names
        return node.op != "placeholder" and (name_of(node.target) or str(node.target)) in names


# fmt: off
_PASSED = frozenset({
    "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout",
    "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout",
    "LayerNorm", "GroupNorm", "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d", "LocalResponseNorm", "RMSNorm",
    "layer_norm", "group_norm", "instance_norm", "local_response_norm", "rms_norm", "normalize",
})
_ADDED = frozenset({
    "add", "sub", "mul", "div", "truediv", "iadd", "isub", "imul", "itruediv", "add_", "sub_", "mul_", "div_",
    "subtract", "multiply", "divide", "true_divide",
})
_MIXED = frozenset({
    "MultiheadAttention", "Softmax", "LogSoftmax", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "Bilinear",
    "linear", "bilinear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    "matmul", "bmm", "baddbmm", "einsum", "softmax", "log_softmax", "scaled_dot_product_attention",
    "multi_head_attention_forward",
})
# fmt: on
"""Names of module classes, functions and methods, by how their calls treat norms."""


def _batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Returns ``x`` times batch norm's squared scale; the arguments are those of ``torch.nn.functional.batch_norm``."""
    scale = x.new_ones(x.shape[1])
    if weight is not None:
        scale = scale * weight.detach().square()
    if running_var is not None:
        scale = scale / (running_var + eps)
    return x * scale.view(-1, *(1,) * (x.dim() - 2))


def _by_channel(x: Tensor, dim: int | None = None) -> Tensor:
    """Returns the mean over all dimensions but ``dim``; by default dimension 1 of images, the last of sequences."""
    if dim is None:
        dim = -1 if x.dim() == 3 else 1
    return x.movedim(dim, -1).flatten(0, -2).mean(0)


def _reached_from_image(graph: Graph) -> set[Node]:
    reached: set[Node] = set()
    for node in graph.nodes:
        if node.op == "placeholder" or any(source in reached for source in node.all_input_nodes):
            reached.add(node)
    return reached


def _is_float(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _as_ones(value: Any) -> Any:
    return torch.ones_like(value) if _is_float(value) else value
