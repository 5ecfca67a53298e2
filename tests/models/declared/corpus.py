"""Hostile documents, each made from a good one by one change, with the code and the words of its refusal."""

import copy
import json
from collections.abc import Callable
from typing import Any, TypeAlias

from tests.models.declared.good_document import CONVOLUTION, TENSORS, Content, call, module

Hostile: TypeAlias = tuple[Callable[[Content], Content | bytes], str, str]
"""(the change, the code of the refusal, words of its message)"""

INVALID, UNSUPPORTED, TOO_LARGE = "invalid_network", "unsupported_operation", "network_too_large"


_HALVES: Content = {"target": "aten.chunk.default", "args": [{"node": 0}, 2]}
"""A call with two results."""


def _in_both(*calls: Content, output: int | None = None) -> Callable[[Content], Content]:
    """Insert calls, the first of which is value 6, after the good ones; the last one is the output."""

    def change(content: Content) -> Content:
        for mode in ("eval_graph", "train_graph"):
            content[mode]["calls"] += copy.deepcopy(list(calls))
            content[mode]["output"] = output if output is not None else 5 + len(calls)
        return content

    return change


def _set(*path: Any, to: Any) -> Callable[[Content], Content]:
    def change(content: Content) -> Content:
        place: Any = content
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = to
        return content

    return change


def _named(name: str) -> Callable[[Content], Content]:
    """Rename the convolution everywhere."""

    def change(content: Content) -> Content:
        content["modules"][0]["path"] = name
        for mode in ("eval_graph", "train_graph"):
            content[mode]["calls"][0]["module"] = name
        return content

    return change


def _raw(edit: Callable[[str], str]) -> Callable[[Content], bytes]:
    return lambda content: edit(json.dumps(content)).encode("utf-8", "surrogatepass")


_EXCLUDED = (
    "aten.as_strided.default", "aten.set_.source_Storage", "aten.set_.source_Tensor", "aten.resize_.default",
    "aten.resize_as_.default", "aten.from_file.default", "aten.empty.memory_format", "aten.new_empty.default",
    "aten.empty_like.default", "aten.empty_strided.default", "aten.nonzero.default", "aten.masked_select.default",
    "aten._unique2.default", "aten.item.default", "aten._local_scalar_dense.default", "aten._unsafe_view.default",
    "aten.view.dtype", "aten.to.device", "aten.copy_.default", "aten.record_stream.default", "aten.pin_memory.default",
    "higher_order.cond", "higher_order.while_loop", "torch.ops.higher_order.wrap_with_autocast", "prims.as_strided",
    "operator.pow", "operator.methodcaller", "operator.attrgetter", "builtins.eval", "builtins.getattr", "os.system",
    "torch.load", "aten.relu", "aten.relu.__class__", "aten.relu.default.__globals__", "relu", "",
)  # fmt: skip
_NAMES = {
    "a quote": ('conv"];__import__("os").system("true")#', "16 parts"),
    "an apostrophe": ("conv'", "16 parts"),
    "a line break": ("conv\nimport os", "16 parts"),
    "a line break at its end": ("conv\n", "16 parts"),
    "a call": ("conv()", "16 parts"),
    "a space": ("conv x", "16 parts"),
    "a semicolon": ("conv;x", "16 parts"),
    "nothing": ("", "16 parts"),
    "two dots": ("conv..x", "16 parts"),
    "a dot at its end": ("conv.", "16 parts"),
    "letters that look alike": ("cоnv", "16 parts"),  # the second letter is Cyrillic
    "a null": ("conv\0", "16 parts"),
    "17 parts": (".".join("a" * 17), "16 parts"),
    "201 characters": ("a" * 201, "201 characters"),
    "a keyword": ("lambda", "keyword"),
    "two underscores": ("__class__", "begins with"),
    "ours": ("_safs_graphs", "begins with"),
    "a method": ("forward", "member of every"),
    "an attribute": ("training", "member of every"),
    "a registry": ("_parameters", "member of every"),
}
_MODULES: dict[str, tuple[Any, Any, str, str]] = {
    "a class that torch.nn does not have": ("kind", "Conv2D", UNSUPPORTED, "'Conv2d'"),
    "a class with hidden state": ("kind", "LSTM", UNSUPPORTED, "no supported module"),
    "a path to a class": ("kind", "torch.nn.Conv2d", UNSUPPORTED, "no supported module"),
    "a missing argument": ("arguments", {"in_channels": 1}, INVALID, "has the arguments"),
    "one argument more": ("arguments", CONVOLUTION | {"device": "cuda"}, INVALID, "has the arguments"),
    "a boolean as a size": ("arguments", CONVOLUTION | {"out_channels": True}, INVALID, "out_channels"),
    "a negative size": ("arguments", CONVOLUTION | {"out_channels": -4}, INVALID, "out_channels"),
    "a fraction as a size": ("arguments", CONVOLUTION | {"out_channels": 4.5}, INVALID, "out_channels"),
    "a text as a size": ("arguments", CONVOLUTION | {"out_channels": "4"}, INVALID, "out_channels"),
    "three sizes of a kernel": ("arguments", CONVOLUTION | {"kernel_size": [3, 3, 3]}, INVALID, "kernel_size"),
    "no stride": ("arguments", CONVOLUTION | {"stride": [0, 0]}, INVALID, "stride"),
    "a padding by name that does not exist": ("arguments", CONVOLUTION | {"padding": "full"}, INVALID, "padding"),
    "groups that do not divide": ("arguments", CONVOLUTION | {"groups": 3}, INVALID, "cannot be built"),
    "a kernel of terabytes": ("arguments", CONVOLUTION | {"kernel_size": [2**20, 2**20]}, TOO_LARGE, "2**28"),
    "a weight of 2**30": ("arguments", CONVOLUTION | {"out_channels": 2**27}, TOO_LARGE, "2**28"),
}
_FILES: dict[str, tuple[Any, str]] = {
    "a missing weight": ({name: TENSORS[name] for name in TENSORS if name != "fc.bias"}, "lacks the tensor fc.bias"),
    "one tensor more": (TENSORS | {"other": ("F32", [1])}, "has the tensor 'other'"),
    "another shape": (TENSORS | {"fc.bias": ("F32", [3])}, "fc.bias is"),
    "another dtype": (TENSORS | {"fc.bias": ("F16", [2])}, "fc.bias is"),
}
FILES = _FILES
"""Tensors of the file that are not those of the good document, with words of the refusal."""


def _bomb(target: str, *args: Any, **kwargs: Any) -> Callable[[Content], Content]:
    return _in_both(call(target, *args, **kwargs), output=5)


def _reversed_view(content: Content) -> Content:
    """Overwrite the images through a view of them."""
    for mode in ("eval_graph", "train_graph"):
        content[mode]["calls"] += [
            {"target": "aten.transpose.int", "args": [{"node": 0}, 2, 3]},
            call("aten.mul_.Tensor", 6, 2.0),
        ]
    return content


def _inplace_module(content: Content) -> Content:
    """Overwrite the images by a module."""
    content["modules"].append({"path": "act", "kind": "ReLU", "arguments": {"inplace": True}})
    content["train_graph"]["calls"].append(module("act", 0))
    return content


def _batch_squared() -> Callable[[Content], Content]:
    """A value that grows with the square of the batch."""
    flat = {"target": "aten.flatten.using_ints", "args": [{"node": 0}, 0, -1]}
    column = {"target": "aten.unsqueeze.default", "args": [{"node": 6}, 1]}
    return _in_both(flat, column, call("aten.mul.Tensor", 6, {"node": 7}), output=5)


def _many_calls(content: Content) -> Content:
    content["eval_graph"]["calls"] = [call("aten.relu.default", 0)] * 20_001
    return content


def _many_modules(content: Content) -> Content:
    content["modules"] += [{"path": f"m{n}", "kind": "ReLU", "arguments": {"inplace": False}} for n in range(5_000)]
    return content


def _argument(value: Any) -> Callable[[Content], Content]:
    """Give the ReLU this argument."""
    return _set("eval_graph", "calls", 2, "args", to=[value])


HOSTILE: dict[str, Hostile] = (
    {f"excluded {name}": (_bomb(name, 0), UNSUPPORTED, "no supported operation") for name in _EXCLUDED}
    | {f"a module named by {what}": (_named(name), INVALID, words) for what, (name, words) in _NAMES.items()}
    | {
        f"a tensor named by {what}": (_set("tensors", 0, "path", to=name), INVALID, words)
        for what, (name, words) in _NAMES.items()
    }
    | {
        f"a caller named by {what}": (_set("eval_graph", "calls", 0, "owner", to=name), INVALID, words)
        for what, (name, words) in _NAMES.items()
        if name
    }
    | {
        f"a module with {what}": (_set("modules", 0, field, to=value), code, words)
        for what, (field, value, code, words) in _MODULES.items()
    }
    | {
        "a value of itself": (_argument({"node": 3}), INVALID, "earlier calls"),
        "a value of a later call": (_argument({"node": 5}), INVALID, "earlier calls"),
        "a negative value": (_argument({"node": -1}), INVALID, "earlier calls"),
        "a value that is true": (_argument({"node": True}), INVALID, "earlier calls"),
        "a value with more keys": (_argument({"node": 2, "tensor": "scale"}), INVALID, "no tensor"),
        "a tensor that does not exist": (_argument({"tensor": "conv.weight.data"}), INVALID, "no tensor"),
        "a number as a tensor": (_argument(1.5), INVALID, "no tensor"),
        "a text as a tensor": (_argument("images"), INVALID, "no tensor"),
        "a list as a tensor": (_argument([{"node": 2}]), INVALID, "no tensor"),
        "no argument": (_set("eval_graph", "calls", 2, "args", to=[]), INVALID, "is missing"),
        "two arguments": (_set("eval_graph", "calls", 2, "args", to=[{"node": 2}, 1]), INVALID, "at most 1"),
        "an argument twice": (_set("eval_graph", "calls", 2, "kwargs", to={"self": {"node": 2}}), INVALID, "twice"),
        "an output argument": (_bomb("aten.mul.Tensor", 0, 2.0, out={"node": 1}), INVALID, "cannot be given"),
        "a device": (_bomb("aten.zeros.default", [1], device="cuda:7"), INVALID, "cannot be given"),
        "a generator": (_bomb("aten.bernoulli.default", 0, generator=0), INVALID, "cannot be given"),
        "a dtype that does not exist": (_bomb("aten.to.dtype", 0, "object"), INVALID, "cannot be"),
        "a dtype that is complex": (_bomb("aten.to.dtype", 0, "complex64"), INVALID, "cannot be"),
        "a mode that does not exist": (_bomb("aten.pad.default", 0, [1, 1], "eval"), INVALID, "allowed: constant"),
        "an equation with code": (_bomb("aten.einsum.default", "__import__", [{"node": 0}]), INVALID, "no equation"),
        "an equation of 9": (_bomb("aten.einsum.default", ",".join("a" * 9) + "->a", []), INVALID, "no equation"),
        "a number of 1e39": (_bomb("aten.mul.Tensor", 0, 1e39), INVALID, "no number"),
        "a number by name": (_bomb("aten.mul.Tensor", 0, {"float": "nan"}), INVALID, "no tensor"),
        "17 sizes": (_bomb("aten.expand.default", 0, [1] * 17), INVALID, "17 numbers"),
        "a list in a list": (_bomb("aten.cat.default", [[{"node": 0}]]), INVALID, "no tensor"),
        "an index out of range": (
            _in_both(
                _HALVES,
                {"target": "operator.getitem", "args": [{"node": 6}, 9]},
            ),
            INVALID,
            "does not run",
        ),
        "an item of a tensor": (
            _bomb("operator.getitem", 0),
            INVALID,
            "is missing",
        ),
        "several values as a tensor": (
            _in_both(_HALVES, call("aten.relu.default", 6)),
            INVALID,
            "no tensor",
        ),
        "several values as the output": (
            _in_both(_HALVES),
            INVALID,
            "no tensor",
        ),
        "a product of a list": (
            _in_both(
                _HALVES,
                {"target": "operator.mul", "args": [{"node": 6}, 1_000_000]},
                output=5,
            ),
            INVALID,
            "no number",
        ),
        "an output that does not exist": (_set("eval_graph", "output", to=6), INVALID, "no tensor"),
        "a module that is not listed": (_set("eval_graph", "calls", 0, "module", to="fc2"), INVALID, "does not list"),
        "a module without a name": (_set("eval_graph", "calls", 0, "module", to=None), INVALID, "does not list"),
        "a module of two arguments": (
            _set("eval_graph", "calls", 0, "args", to=[{"node": 0}, {"node": 0}]),
            INVALID,
            "one argument",
        ),
        "a module twice": (_set("modules", 1, "path", to="conv"), INVALID, "is taken"),
        "a tensor in the place of a weight": (_set("tensors", 0, "path", to="conv.weight"), INVALID, "is taken"),
        "a tensor in the place of a method": (_set("tensors", 0, "path", to="conv.reset_parameters"), INVALID, "taken"),
        "a tensor of a module that is not listed": (_set("tensors", 0, "path", to="a.scale"), INVALID, "not listed"),
        "a parameter of integers": (_set("tensors", 0, "dtype", to="int64"), INVALID, "hold floats"),
        "a tensor of nine dimensions": (_set("tensors", 0, "shape", to=[1] * 9), TOO_LARGE, "shape"),
        "a tensor of 2**40": (_set("tensors", 0, "shape", to=[2**20, 2**20]), TOO_LARGE, "2**28"),
        "a value of 2**40": (_bomb("aten.zeros.default", [2**20, 2**20]), TOO_LARGE, "2**28"),
        "a value of 2**60": (_bomb("aten.zeros.default", [2**30, 2**30]), TOO_LARGE, "2**28"),
        "a value that overflows": (_bomb("aten.zeros.default", [2**31] * 4), INVALID, "does not run"),
        "an expansion": (
            _in_both({"target": "aten.expand.default", "args": [{"tensor": "scale"}, [4, 2**20, 2**20]]}, output=5),
            TOO_LARGE,
            "2**28",
        ),
        "repetitions": (_bomb("aten.repeat.default", 0, [1, 1, 2**15, 2**15]), TOO_LARGE, "2**28"),
        "a padding": (_bomb("aten.pad.default", 0, [2**30, 2**30]), TOO_LARGE, "2**28"),
        "nine dimensions": (_bomb("aten.zeros.default", [1] * 9), TOO_LARGE, "9 dimensions"),
        "a product of sizes": (
            _in_both(
                {"target": "aten.sym_size.int", "args": [{"node": 0}, 0]},
                {"target": "operator.mul", "args": [{"node": 6}, 2**31]},
                output=5,
            ),
            TOO_LARGE,
            "2**31",
        ),
        "a division by zero": (
            _in_both(
                {"target": "aten.sym_size.int", "args": [{"node": 0}, 0]},
                {"target": "operator.floordiv", "args": [{"node": 6}, 0]},
                output=5,
            ),
            INVALID,
            "ZeroDivisionError",
        ),
        "a value that grows with the square of the batch": (_batch_squared(), TOO_LARGE, "grow faster"),
        "too many operations": (
            _in_both(
                {"target": "aten.expand.default", "args": [{"tensor": "scale"}, [4, 4096, 4096]]},
                call("aten.bmm.default", 6, {"node": 6}),
                output=5,
            ),
            TOO_LARGE,
            "GFLOP",
        ),
        "another shape in train mode": (_set("train_graph", "output", to=4), INVALID, "in train mode"),
        "another shape for another batch": (
            _in_both({"target": "aten.reshape.default", "args": [{"node": 5}, [2, 2]]}),
            INVALID,
            "does not run",
        ),
        "integers as logits": (_in_both({"target": "aten.to.dtype", "args": [{"node": 5}, "int64"]}), INVALID, "int64"),
        "another number of classes": (_set("classes", to=3), INVALID, "[2, 3]"),
        "overwritten images": (_bomb("aten.relu_.default", 0), INVALID, "overwrites the images"),
        "images overwritten by a named argument": (
            _in_both({"target": "aten.relu_.default", "args": [], "kwargs": {"self": {"node": 0}}}, output=5),
            INVALID,
            "overwrites the images",
        ),
        "images overwritten by a module": (_inplace_module, INVALID, "overwrites the images"),
        "images overwritten through a product": (
            _in_both(
                {"target": "aten.einsum.default", "args": ["abcd->abdc", [{"node": 0}]]},
                call("aten.mul_.Tensor", 6, 2.0),
                output=5,
            ),
            INVALID,
            "overwrites the images",
        ),
        "images overwritten as statistics": (
            _in_both(
                {"target": "aten.flatten.using_ints", "args": [{"node": 0}]},
                {
                    "target": "aten.batch_norm.default",
                    "args": [{"node": 0}, None, None, {"node": 6}, {"node": 6}, True, 0.1, 1e-5, False],
                },
                output=5,
            ),
            INVALID,
            "overwrites the images",
        ),
        "images overwritten through a view": (_reversed_view, INVALID, "overwrites the images"),
        "an overwritten weight": (
            _bomb("aten.mul_.Tensor", {"tensor": "fc.weight"}, 0.0),
            INVALID,
            "overwrites the parameter fc.weight",
        ),
        "no gradient": (_in_both(call("aten.detach.default", 5)), INVALID, "gets a gradient"),
        "too many calls": (_many_calls, TOO_LARGE, "20000"),
        "too many modules": (_many_modules, TOO_LARGE, "5000"),
        "another format": (_set("format", to=2), INVALID, "format"),
        "a key that is unknown": (_set("code", to="import os"), INVALID, "code"),
        "a name with a path": (_set("name", to="../../etc"), INVALID, "name"),
        "no classes": (_set("classes", to=0), INVALID, "classes"),
        "a size that is a text": (_set("image_size", to="8"), INVALID, "image_size"),
        "no graph": (_set("train_graph", to=None), INVALID, "train_graph"),
        "nothing": (lambda content: b"", INVALID, "not JSON"),
        "a list": (lambda content: b"[]", INVALID, "invalid"),
        "more after its end": (_raw(lambda text: text + "{}"), INVALID, "not JSON"),
        "a key twice": (_raw(lambda text: '{"format": 1, ' + text[1:]), INVALID, "twice"),
        "NaN": (_raw(lambda text: text.replace('"classes": 2', '"classes": NaN')), INVALID, "NaN"),
        "Infinity": (_raw(lambda text: text.replace('"classes": 2', '"classes": Infinity')), INVALID, "Infinity"),
        "a float that overflows": (
            _raw(lambda text: text.replace('"classes": 2', '"classes": 1e999')),
            INVALID,
            "1e999",
        ),
        "an integer of 5,000 digits": (
            _raw(lambda text: text.replace('"classes": 2', f'"classes": {"9" * 5000}')),
            TOO_LARGE,
            "integer",
        ),
        "an integer of 2**31 + 1": (
            _raw(lambda text: text.replace('"classes": 2', f'"classes": {2**31 + 1}')),
            TOO_LARGE,
            "integer",
        ),
        "100,000 brackets": (_raw(lambda text: "[" * 100_000), INVALID, "deep"),
        "100,000 braces": (_raw(lambda text: '{"a":' * 100_000), INVALID, "deep"),
        "an argument that is deep": (_argument([[[[[[[[[[[[1]]]]]]]]]]]]), INVALID, "deep"),
        "5 MiB": (_raw(lambda text: text.replace("Good", "G" * 5 * 2**20)), TOO_LARGE, "4,194,304"),
        "a lone surrogate": (_raw(lambda text: text.replace("Good", "\\ud800")), INVALID, "name"),
    }
)
