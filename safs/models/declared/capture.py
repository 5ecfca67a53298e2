"""Captures a module as a declared network, on the user's machine: by ``torch.export``, in eval and in train mode."""

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from safs.errors import SurgeryError
from safs.models.declared import document as documents
from safs.models.declared.comparison import check_same
from safs.models.declared.document import Document
from safs.models.declared.exported import Program, Step, steps_of
from safs.models.declared.file import write
from safs.models.declared.modules import CONTAINER, build_module, describe
from safs.models.declared.operations import DTYPES
from safs.models.declared.packing import Holder, inferred_holders, pack
from safs.models.declared.writes import MODULE
from safs.modes import in_mode

BATCH = 3
"""Images in the example batch; the batch size of the captured network is dynamic."""
_PLUGIN = (
    "If the network cannot be changed, the operator of the service can install it as a plugin: docs/own-network.md"
)


@dataclass(frozen=True, slots=True)
class Capture:
    """A captured network."""

    document: Document
    tensors: Mapping[str, Tensor]
    """Weights, buffers and constants by name, on the CPU."""

    def save(self, path: str | Path) -> Path:
        """Write ``network.safetensors``, which a service or ``safs run`` takes as ``model.network``."""
        return write(Path(path), self.document, self.tensors)


def capture(module: nn.Module, input: tuple[int, int] = (3, 32), *, pretrained: bool = True) -> Capture:
    """Capture ``module`` as a graph that holds none of its code; the module stays as it is.

    The graph is rebuilt here and compared with the module in eval mode and in train mode. It holds operations,
    names of modules and tensors, and numbers; no source text and no path of this machine.

    Args:
        module: takes float32 images [batch, channels, size, size], returns logits [batch, classes] or an object with
            the field ``logits``.
        input: channels and size of the images, in pixels a side.
        pretrained: False leaves out the weights of the modules, so that the job trains from fresh ones. Parameters that
            belong to no module of torch.nn keep their values.

    Raises:
        SurgeryError: ``torch.export`` cannot export the module, or the graph does something that no document can hold.
        NetworkError: a name or a size of the module is not allowed in a document.
    """
    with torch.random.fork_rng(devices=[]):
        return _capture(module, *input, pretrained=pretrained)


def _capture(module: nn.Module, channels: int, size: int, *, pretrained: bool) -> Capture:
    source = _as_float32(module)
    device = next((tensor.device for tensor in (*source.parameters(), *source.buffers())), torch.device("cpu"))
    example = torch.randn(BATCH, channels, size, size, generator=torch.Generator().manual_seed(0)).to(device)
    names = Names(source)
    programs = {training: _export(source, example, names, training=training) for training in (False, True)}
    document, tensors = assemble(source, names, programs, channels=channels, size=size, pretrained=pretrained)
    check_same(source, document, tensors, example)
    if not pretrained:
        bare = {tensor.path for tensor in document.tensors}
        tensors = {name: value for name, value in tensors.items() if name in bare}
    return Capture(document, tensors)


class Names:
    """Names of the tensors and modules of a module, each under its first name."""

    def __init__(self, module: nn.Module) -> None:
        self.modules = dict(module.named_modules())
        self.tensors: dict[str, Tensor] = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        persistent = module.state_dict(keep_vars=True).keys()
        first = {id(value): name for name, value in self.tensors.items()}
        self._tensor_names = {
            name: first[id(value)]
            for name, value in (
                *module.named_parameters(remove_duplicate=False),
                *module.named_buffers(remove_duplicate=False),
            )
        }
        paths: dict[int, str] = {id(value): path for path, value in self.modules.items()}
        self._paths = {path: paths[id(value)] for path, value in module.named_modules(remove_duplicate=False)}
        self.kinds: dict[str, str] = {
            name: "parameter" if isinstance(value, nn.Parameter) else "buffer" if name in persistent else "constant"
            for name, value in self.tensors.items()
        }
        self._constants: dict[str, Tensor] = {}

    def tensor(self, name: str) -> str:
        """The name in the document of a parameter or a buffer."""
        return self._tensor_names[name]

    def path(self, path: str) -> str:
        """The path in the document of a module; empty for what torch.export runs beside the modules."""
        return self._paths.get(path, "")

    def constant(self, value: Tensor) -> str:
        """The name in the document of a tensor that the forward creates; equal tensors have one name."""
        value = value.detach().cpu()
        for name, known in (*self._constants.items(), *self.tensors.items()):
            if self.kinds[name] == "constant" and _is_equal(known, value):
                return name
        number = len(self._constants)
        name = f"constant{number}"
        while name in self.tensors or name in self.modules:
            number += 1
            name = f"constant{number}"
        self._constants[name], self.kinds[name] = value, "constant"
        return name

    def all_tensors(self) -> dict[str, Tensor]:
        """Parameters, buffers and constants by name, on the CPU."""
        return {
            name: value.detach().cpu().contiguous() for name, value in (*self.tensors.items(), *self._constants.items())
        }


def _is_equal(known: Tensor, value: Tensor) -> bool:
    same_form = known.dtype == value.dtype and known.shape == value.shape
    return same_form and torch.equal(known.detach().cpu(), value)


def _as_float32(module: nn.Module) -> nn.Module:
    if all(value.dtype == torch.float32 for value in module.parameters()):
        return module
    return copy.deepcopy(module).float()


def _export(module: nn.Module, example: Tensor, names: Names, *, training: bool) -> Program:
    mode = "train" if training else "eval"
    try:
        with in_mode(module, training):
            exported: ExportedProgram = torch.export.export(
                module, (example,), dynamic_shapes=({0: Dim.DYNAMIC},), strict=False
            )
    except Exception as error:  # the forward is the user's code and can raise anything
        raise SurgeryError(
            f"torch.export cannot export {type(module).__name__} in {mode} mode. It stopped in "
            f"{_where(module, error)}: {_first_sentence(error)} {_PLUGIN}"
        ) from error
    return steps_of(exported, names.tensor, names.constant, names.path)


def _where(module: nn.Module, error: Exception) -> str:
    """Path of the module whose forward was running, from the frames of the traceback."""
    paths = {id(part): path for path, part in module.named_modules()}
    found, trace = "", error.__traceback__
    while trace is not None:
        running = trace.tb_frame.f_locals.get("self")
        found = paths.get(id(running), found)
        trace = trace.tb_next
    return f"the module {found}" if found else "the forward itself"


def _first_sentence(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:400] if lines else 'no message'}."


def assemble(
    module: nn.Module,
    names: Names,
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
        SurgeryError, NetworkError: as ``capture``.
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


def _holders(names: Names, shapes: Mapping[str, list[int]]) -> dict[str, Holder]:
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
    names: Names,
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


def _declared(name: str, value: Tensor, names: Names) -> dict[str, Any]:
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
