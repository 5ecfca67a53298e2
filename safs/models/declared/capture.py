"""Captures a module as a declared network, on the user's machine: by ``torch.export``, in eval and in train mode."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from safs.errors import SurgeryError
from safs.models.declared.assembly import assemble
from safs.models.declared.comparison import check_same
from safs.models.declared.document import Document
from safs.models.declared.exported import Program, steps_of
from safs.models.declared.file import write
from safs.models.declared.module_names import ModuleNames
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
    names = ModuleNames(source)
    programs = {training: _export(source, example, names, training=training) for training in (False, True)}
    document, tensors = assemble(source, names, programs, channels=channels, size=size, pretrained=pretrained)
    check_same(source, document, tensors, example)
    if not pretrained:
        bare = {tensor.path for tensor in document.tensors}
        tensors = {name: value for name, value in tensors.items() if name in bare}
    return Capture(document, tensors)


def _as_float32(module: nn.Module) -> nn.Module:
    if all(value.dtype == torch.float32 for value in module.parameters()):
        return module
    return copy.deepcopy(module).float()


def _export(module: nn.Module, example: Tensor, names: ModuleNames, *, training: bool) -> Program:
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
