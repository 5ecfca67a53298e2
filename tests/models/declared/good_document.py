"""A document of a network that is accepted, and the parts that it is made of."""

import copy
import json
from typing import Any, TypeAlias

Content: TypeAlias = dict[str, Any]

CONVOLUTION: Content = {
    "in_channels": 1,
    "out_channels": 4,
    "kernel_size": [3, 3],
    "stride": [1, 1],
    "padding": [1, 1],
    "dilation": [1, 1],
    "groups": 1,
    "bias": True,
}


def call(target: str, *args: Any, **kwargs: Any) -> Content:
    """A call of an operation; integers as arguments are references to values."""
    return {"target": target, "args": [{"node": a} if type(a) is int else a for a in args], "kwargs": kwargs}


def module(path: str, source: int) -> Content:
    """A call of a module."""
    return {"target": "module", "module": path, "args": [{"node": source}]}


_CALLS = [
    module("conv", 0),
    call("aten.mul.Tensor", 1, {"tensor": "scale"}),
    call("aten.relu.default", 2),
    call("aten.mean.dim", 3, [2, 3]),
    module("fc", 4),
]
GOOD: Content = {
    "format": 1,
    "name": "Good",
    "torch": "2.15.0",
    "channels": 1,
    "image_size": 8,
    "classes": 2,
    "pretrained": True,
    "modules": [
        {"path": "conv", "kind": "Conv2d", "arguments": CONVOLUTION},
        {"path": "fc", "kind": "Linear", "arguments": {"in_features": 4, "out_features": 2, "bias": True}},
    ],
    "tensors": [
        {"path": "scale", "kind": "parameter", "dtype": "float32", "shape": [4, 1, 1], "trained": True},
        {"path": "table", "kind": "constant", "dtype": "int64", "shape": [4], "trained": True},
    ],
    "eval_graph": {"calls": _CALLS, "output": 5},
    "train_graph": {"calls": _CALLS, "output": 5},
}
"""A document that is accepted."""
TENSORS = {
    "conv.weight": ("F32", [4, 1, 3, 3]),
    "conv.bias": ("F32", [4]),
    "fc.weight": ("F32", [2, 4]),
    "fc.bias": ("F32", [2]),
    "scale": ("F32", [4, 1, 1]),
    "table": ("I64", [4]),
}


def header(document: Content | bytes, tensors: Any = TENSORS) -> bytes:
    """The header of a safetensors file with this document."""
    text = document.decode("utf-8", "surrogateescape") if isinstance(document, bytes) else json.dumps(document)
    entries = {name: {"dtype": dtype, "shape": shape} for name, (dtype, shape) in tensors.items()}
    return json.dumps({"__metadata__": {"safs.network": text}, **entries}).encode()


def good() -> Content:
    """A copy of the good document whose two graphs are apart."""
    return copy.deepcopy(GOOD)
