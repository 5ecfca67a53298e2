"""Assembles the document of a declared network from its exported graphs and the tensors of the module."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from safs.errors import SurgeryError
from safs.models.declared import document as documents
from safs.models.declared.document import Document
from safs.models.declared.exported import Program, Step
from safs.models.declared.module_names import ModuleNames
from safs.models.declared.modules import CONTAINER, build_module, describe
from safs.models.declared.operations import DTYPES
from safs.models.declared.packing import Holder, inferred_holders, pack
from safs.models.declared.writes import MODULE


def assemble(
    module: nn.Module,
    names: ModuleNames,
    programs: Mapping[bool, Program],
    *,
    channels: int,
    size: int,
    pretrained: bool,
    counts_batches: bool = True,
) -> tuple[Document, dict[str, Tensor]]:
    """The document of two exported graphs, by ``training``, and the tensors of its file.

    Args:
        module: gives the name of its class.
        counts_batches: True if each call of a batch norm in train mode has a step that counts the batches.

    Raises:
        SurgeryError: the graphs do something that no document can hold.
        NetworkError: a name or a size of the module is not allowed in a document.
    """
    tensors = names.all_tensors()
    shapes = {name: list(value.shape) for name, value in tensors.items()}
    holders = _holders(names, shapes)
    holders |= {
        path: holder
        for path, holder in inferred_holders(
            {training: program.steps for training, program in programs.items()}, holders, shapes
        ).items()
        if _fits(path, holder, shapes)
    }
    packed = {
        training: pack(
            program.steps, program.output, holders, names.modules, shapes, training=training, counts=counts_batches
        )
        for training, program in programs.items()
    }
    lines: dict[str, int] = {}
    graphs = {training: _graph(steps, output, lines) for training, (steps, output) in packed.items()}
    called = {step.module for steps, _ in packed.values() for step in steps if step.module is not None}
    read = {name for steps, _ in packed.values() for step in steps for name in _tensors_read(step)}
    listed, bare = _modules(names, holders, called, tensors, read)
    if programs[False].classes != programs[True].classes:
        raise SurgeryError("the forward returns another number of classes in train mode than in eval mode")
    content = {
        "format": documents.FORMAT,
        "name": re.sub(r"\W", "_", type(module).__name__, flags=re.ASCII)[:64],
        "torch": torch.__version__,
        "channels": channels,
        "image_size": size,
        "classes": programs[False].classes,
        "pretrained": pretrained,
        "modules": listed,
        "tensors": bare,
        "eval_graph": graphs[False],
        "train_graph": graphs[True],
    }
    _check_finite(tensors)
    kept = {tensor["path"] for tensor in bare} | {f"{path}.{leaf}" for path, leaf in _held(listed)}
    document = documents.from_content(content)
    return document, {name: value for name, value in tensors.items() if name in kept}


def _check_finite(tensors: Mapping[str, Tensor]) -> None:
    """Refuse what a service would refuse at the end of an upload."""
    for name, value in tensors.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise SurgeryError(f"the tensor {name} holds a number that is not finite (NaN or infinity)")


def _holders(names: ModuleNames, shapes: Mapping[str, list[int]]) -> dict[str, Holder]:
    found = {}
    for path, module in names.modules.items():
        if path and (described := describe(module)) is not None:
            holder = Holder(*described)
            if _fits(path, holder, shapes):
                found[path] = holder
    return found


def _fits(path: str, holder: Holder, shapes: Mapping[str, list[int]]) -> bool:
    """True if the tensors of such a module are those that the user's module has there."""
    return all(shapes.get(f"{path}.{leaf}") == shape for leaf, shape in _state(holder).items())


def _state(holder: Holder) -> dict[str, list[int]]:
    with torch.device("meta"):
        made = build_module(documents.Module(path="m", kind=holder.kind, arguments=dict(holder.arguments)))
    return {name: list(value.shape) for name, value in made.state_dict().items()}


def _held(listed: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for entry in listed:
        if entry["kind"] != CONTAINER:
            for leaf in _state(Holder(entry["kind"], entry["arguments"])):
                yield entry["path"], leaf


def _modules(
    names: ModuleNames,
    holders: Mapping[str, Holder],
    called: set[str],
    tensors: Mapping[str, Tensor],
    read: set[str],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The modules and the tensors that are no module's, as a document lists them."""
    state = {path: holder for path, holder in holders.items() if path in called or _state(holder)}
    owned = {f"{path}.{leaf}" for path, holder in state.items() for leaf in _state(holder)}
    bare = [name for name in tensors if name not in owned and (names.kinds[name] != "constant" or name in read)]
    needed = {*state, *(name.rpartition(".")[0] for name in bare)} - {""}
    needed |= {path.rsplit(".", count)[0] for path in needed for count in range(1, path.count(".") + 1)}
    listed = []
    for path in names.modules:
        if path in state:
            listed.append({"path": path, "kind": state[path].kind, "arguments": dict(state[path].arguments)})
        elif path in needed:
            listed.append({"path": path, "kind": CONTAINER, "arguments": {}})
    return listed, [_declared(name, tensors[name], names) for name in bare]


_DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def _declared(name: str, value: Tensor, names: ModuleNames) -> dict[str, Any]:
    if value.dtype not in _DTYPE_NAMES:
        raise SurgeryError(f"the tensor {name} has dtype {value.dtype}, which no document can hold")
    original = names.tensors.get(name)
    return {
        "path": name,
        "kind": names.kinds[name],
        "dtype": _DTYPE_NAMES[value.dtype],
        "shape": list(value.shape),
        "trained": original is None or not isinstance(original, nn.Parameter) or original.requires_grad,
    }


def _tensors_read(step: Step) -> Iterator[str]:
    for value in (*step.args, *step.kwargs.values()):
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict) and "tensor" in item:
                yield item["tensor"]


def _graph(steps: list[Step], output: Any, lines: dict[str, int]) -> dict[str, Any]:
    numbers = {step: number for number, step in enumerate(steps, 1)}

    def written(value: Any) -> Any:
        match value:
            case Step():
                return {"node": numbers[value]}
            case list():
                return [written(item) for item in value]
            case _:
                return value

    calls = []
    for step in steps:
        call: dict[str, Any] = {"target": step.target, "args": [written(value) for value in step.args]}
        if step.kwargs:
            call["kwargs"] = {name: written(value) for name, value in step.kwargs.items()}
        if step.target == MODULE:
            call["module"] = step.module
        call["owner"] = step.stack[-1]
        call["line"] = lines.setdefault(step.line, len(lines) + 1) if step.line else 0
        calls.append(call)
    return {"calls": calls, "output": written(output)["node"]}
