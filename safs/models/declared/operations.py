"""The operations that a document may call: a closed table, and what each accepts by its own schema.

Left out are operations that reach memory by strides or addresses (``as_strided``, ``set_``, ``resize_``), that read
files (``from_file``), that return uninitialised memory (``empty``; capture writes zeros), whose shapes depend on values
(``nonzero``, ``masked_select``, ``unique``), and operations of higher order.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import torch

Value: TypeAlias = Literal["tensor", "tensors", "number"]
"""Kind of a value in a graph: a tensor, several tensors, or a number that depends on the batch size."""

# fmt: off
_ATEN = (
    # One tensor to one tensor, element by element.
    "abs.default", "neg.default", "exp.default", "expm1.default", "log.default", "log1p.default", "sqrt.default",
    "rsqrt.default", "square.default", "reciprocal.default", "sin.default", "cos.default", "atan.default",
    "erf.default", "sign.default", "floor.default", "ceil.default", "round.default", "logical_not.default",
    "bitwise_not.default", "clamp.default", "clamp_min.default", "clamp_max.default",
    "relu.default", "relu6.default", "silu.default", "gelu.default", "hardswish.default", "hardsigmoid.default",
    "mish.default", "elu.default", "celu.default", "selu.default", "leaky_relu.default", "hardtanh.default",
    "tanh.default", "sigmoid.default", "softplus.default", "log_sigmoid.default", "hardshrink.default",
    "softshrink.default", "prelu.default", "glu.default", "nan_to_num.default",
    # In place.
    "relu_.default", "relu6_.default", "silu_.default", "hardswish_.default", "hardsigmoid_.default", "mish_.default",
    "elu_.default", "celu_.default", "selu_.default", "leaky_relu_.default", "hardtanh_.default", "tanh_.default",
    "sigmoid_.default", "add_.Tensor", "sub_.Tensor", "mul_.Tensor", "div_.Tensor", "clamp_.default",
    "clamp_min_.default", "masked_fill_.Scalar", "fill_.Scalar", "zero_.default", "floor_.default", "sqrt_.default",
    "dropout_.default", "bernoulli_.float",
    # Two tensors.
    "add.Tensor", "add.Scalar", "sub.Tensor", "sub.Scalar", "rsub.Scalar", "rsub.Tensor", "mul.Tensor", "mul.Scalar",
    "div.Tensor", "div.Scalar", "div.Tensor_mode", "floor_divide.default", "remainder.Scalar", "remainder.Tensor",
    "fmod.Scalar", "pow.Tensor_Scalar", "pow.Tensor_Tensor", "pow.Scalar", "maximum.default", "minimum.default",
    "atan2.default",
    "eq.Scalar", "eq.Tensor", "ne.Scalar", "ne.Tensor", "lt.Scalar", "lt.Tensor", "le.Scalar", "le.Tensor",
    "gt.Scalar", "gt.Tensor", "ge.Scalar", "ge.Tensor", "logical_and.default", "logical_or.default",
    "bitwise_and.Tensor", "bitwise_or.Tensor", "where.self", "where.ScalarOther", "where.ScalarSelf", "where.Scalar",
    "masked_fill.Scalar", "masked_fill.Tensor", "lerp.Scalar", "lerp.Tensor", "addcmul.default", "addcdiv.default",
    # Products.
    "linear.default", "matmul.default", "bmm.default", "mm.default", "addmm.default", "baddbmm.default",
    "einsum.default", "scaled_dot_product_attention.default", "bilinear.default",
    "conv1d.default", "conv1d.padding", "conv2d.default", "conv2d.padding", "conv3d.default", "conv3d.padding",
    "conv_transpose1d.default", "conv_transpose2d.input",
    # Norms and reductions.
    "batch_norm.default", "layer_norm.default", "group_norm.default", "instance_norm.default", "rms_norm.default",
    "linalg_vector_norm.default", "norm.ScalarOpt_dim", "var.correction", "var.dim", "var_mean.correction",
    "std.correction", "std.dim", "std_mean.correction", "mean.default", "mean.dim", "sum.default", "sum.dim_IntList",
    "prod.dim_int", "amax.default", "amin.default", "max.dim", "min.dim", "max.other", "min.other", "argmax.default",
    "logsumexp.default", "cumsum.default", "softmax.int", "log_softmax.int", "_softmax.default",
    "dropout.default", "feature_dropout.default", "alpha_dropout.default", "feature_alpha_dropout.default",
    # Shapes.
    "view.default", "reshape.default", "flatten.using_ints", "unflatten.int", "permute.default", "transpose.int",
    "t.default", "adjoint.default", "mT.default", "numpy_T.default", "swapaxes.default", "movedim.int",
    "movedim.intlist", "squeeze.default", "squeeze.dim", "squeeze.dims", "unsqueeze.default", "expand.default",
    "expand_as.default", "view_as.default", "reshape_as.default", "repeat.default", "repeat_interleave.self_int",
    "tile.default", "cat.default", "concat.default", "stack.default", "split.Tensor", "split.sizes",
    "split_with_sizes.default", "chunk.default", "tensor_split.sections", "unbind.int", "slice.Tensor", "select.int",
    "narrow.default", "index.Tensor", "index_select.default", "gather.default", "embedding.default", "roll.default",
    "flip.default", "contiguous.default", "clone.default", "detach.default", "alias.default", "pad.default",
    "constant_pad_nd.default", "reflection_pad2d.default", "replication_pad2d.default", "pixel_shuffle.default",
    "pixel_unshuffle.default", "channel_shuffle.default", "unfold.default", "im2col.default", "col2im.default",
    "tril.default", "triu.default", "diagonal.default", "meshgrid.indexing", "meshgrid.default",
    "broadcast_tensors.default", "to.dtype", "type_as.default",
    # Pooling and resizing.
    "max_pool1d.default", "max_pool2d.default", "avg_pool1d.default", "avg_pool2d.default",
    "adaptive_avg_pool1d.default", "adaptive_avg_pool2d.default", "adaptive_max_pool1d.default",
    "adaptive_max_pool2d.default", "upsample_nearest2d.vec", "upsample_bilinear2d.vec",
    "upsample_bicubic2d.vec", "_upsample_bilinear2d_aa.vec", "_upsample_bicubic2d_aa.vec", "grid_sampler.default",
    # New tensors.
    "arange.default", "arange.start", "arange.start_step", "linspace.default", "zeros.default", "ones.default",
    "full.default", "eye.default", "eye.m", "zeros_like.default", "ones_like.default", "full_like.default",
    "new_zeros.default", "new_ones.default", "new_full.default", "scalar_tensor.default",
    "rand.default", "randn.default", "rand_like.default", "randn_like.default", "bernoulli.default", "bernoulli.p",
    # Sizes.
    "sym_size.int",
)
# fmt: on
_ARITHMETIC: Mapping[str, Callable[..., Any]] = {
    "operator.add": operator.add,
    "operator.sub": operator.sub,
    "operator.mul": operator.mul,
    "operator.floordiv": operator.floordiv,
    "operator.truediv": operator.truediv,
    "operator.neg": operator.neg,
}
"""Arithmetic of sizes."""
GETITEM = "operator.getitem"
"""One of several tensors."""

STRINGS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("aten.gelu.default", "approximate"): ("none", "tanh"),
    ("aten.conv1d.padding", "padding"): ("same", "valid"),
    ("aten.conv2d.padding", "padding"): ("same", "valid"),
    ("aten.conv3d.padding", "padding"): ("same", "valid"),
    ("aten.pad.default", "mode"): ("constant", "reflect", "replicate", "circular"),
    ("aten.div.Tensor_mode", "rounding_mode"): ("floor", "trunc"),
    ("aten.meshgrid.indexing", "indexing"): ("ij", "xy"),
}
"""(operation, argument) -> the texts that it may be. ``einsum`` has a pattern instead."""
DTYPES: Mapping[str, torch.dtype] = {
    "float32": torch.float32,
    "float64": torch.float64,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "int64": torch.int64,
    "int32": torch.int32,
    "int16": torch.int16,
    "int8": torch.int8,
    "uint8": torch.uint8,
    "bool": torch.bool,
}
MEMORY_FORMATS: Mapping[str, torch.memory_format] = {
    "contiguous_format": torch.contiguous_format,
    "preserve_format": torch.preserve_format,
    "channels_last": torch.channels_last,
}
IMPLIED = frozenset({"device", "layout", "pin_memory", "generator", "non_blocking", "path", "enable_gqa"})
"""Arguments that a document never gives: they have their defaults, and the device is that of the images."""
DRAWS = frozenset({"aten.rand.default", "aten.randn.default"})


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of an operation."""

    name: str
    kind: str
    """PyTorch's name of the type, such as ``Tensor`` or ``Optional[List[int]]``."""
    required: bool
    keyword_only: bool
    is_written: bool = False
    """True if the operation writes to it."""
    is_view: bool = False
    """True if the result may share its memory."""


@dataclass(frozen=True, slots=True)
class Operation:
    """An entry of the table."""

    name: str
    function: Callable[..., Any]
    arguments: tuple[Argument, ...]
    returns: Value
    makes: bool
    """True if it makes a tensor from sizes alone, so that it must be told the device."""


@cache
def operations() -> Mapping[str, Operation]:
    """The table: name -> operation."""
    table = {f"aten.{name}": _of_aten(name) for name in _ATEN}
    table |= {name: _arithmetic(name, function) for name, function in _ARITHMETIC.items()}
    index = Argument("index", "literal", required=True, keyword_only=False)
    source = Argument("source", "tensors", required=True, keyword_only=False, is_view=True)
    table[GETITEM] = Operation(GETITEM, operator.getitem, (source, index), "tensor", makes=False)
    return MappingProxyType(table)


def _of_aten(name: str) -> Operation:
    packet, _, overload = name.partition(".")
    function = getattr(getattr(torch.ops.aten, packet), overload)
    arguments = tuple(
        Argument(
            argument.name,
            str(argument.real_type),
            not argument.has_default_value(),
            argument.kwarg_only,
            argument.alias_info is not None and argument.alias_info.is_write,
            argument.alias_info is not None and not argument.alias_info.is_write,
        )
        for argument in function._schema.arguments
    )
    returned = [str(value.real_type) for value in function._schema.returns]
    returns = _RETURNS.get(returned[0], "tensors") if len(returned) == 1 else "tensors"
    names = {argument.name for argument in arguments}
    makes = "device" in names and not any("Tensor" in argument.kind for argument in arguments)
    return Operation(f"aten.{name}", function, arguments, returns, makes)


_RETURNS: Mapping[str, Value] = {"Tensor": "tensor", "int": "number"}


def _arithmetic(name: str, function: Callable[..., Any]) -> Operation:
    operands = ("left",) if name == "operator.neg" else ("left", "right")
    arguments = tuple(Argument(operand, "number", required=True, keyword_only=False) for operand in operands)
    return Operation(name, function, arguments, "number", makes=False)
