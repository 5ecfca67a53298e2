"""Turns a program of ``torch.export`` into a declared network, on the user's machine."""

from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from safs.errors import SurgeryError
from safs.models.declared.assembly import assemble
from safs.models.declared.capture import Capture
from safs.models.declared.comparison import check_outputs
from safs.models.declared.exported import Program, Step, steps_of
from safs.models.declared.module_names import ModuleNames

_FLAGS = {"aten.dropout.default": 2, "aten.feature_dropout.default": 2, "aten.alpha_dropout.default": 2}
"""Operation -> position of the argument that tells train mode from eval mode."""
_BATCH_NORM, _BATCH_NORM_FLAG = "aten.batch_norm.default", 5


def captured_from_program(exported: ExportedProgram) -> Capture:
    """The network of an exported program, which has one mode; the other mode differs in dropout and batch norm alone.

    Raises:
        SurgeryError: the program has a fixed batch size, does not take one batch of images, or calls something that no
            document can hold.
    """
    images = _images(exported)
    module = exported.module()
    names = ModuleNames(module)

    def read() -> Program:
        return steps_of(exported, names.tensor, names.constant, names.path)

    was_training = any(_flag(step) for step in read().steps)
    programs = {training: _in_mode(read(), training) for training in (False, True)}
    channels, size = images.shape[1], images.shape[2]
    with torch.random.fork_rng(devices=[]):
        document, tensors = assemble(
            module, names, programs, channels=channels, size=size, pretrained=True, counts_batches=False
        )
        tensors = {name: value.clone() for name, value in tensors.items()}  # in train mode the module updates its own
        torch.manual_seed(0)
        expected = module(images)
        check_outputs(document, tensors, images, expected, training=was_training)
    return Capture(document, tensors)


def _images(exported: ExportedProgram) -> Tensor:
    """Random images for the program's only input."""
    inputs = [node for node in exported.graph.nodes if node.name in exported.graph_signature.user_inputs]
    values: list[Any] = [node.meta.get("val") for node in inputs]
    if len(values) != 1 or not isinstance(values[0], Tensor) or values[0].dim() != 4:
        raise SurgeryError("the program must take one batch of images [batch, channels, size, size]")
    shape: list[Any] = list(values[0].shape)
    batch, channels, height, width = shape
    if isinstance(batch, int):
        raise SurgeryError(
            f"the program has a fixed batch of {batch}. Export it with a dynamic one: torch.export.export(module, "
            "(images,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))"
        )
    if not isinstance(height, int) or height != width:
        raise SurgeryError(f"the program takes images of {height} x {width} pixels; they must be square")
    return torch.randn(3, channels, height, width, generator=torch.Generator().manual_seed(0))


def _flag(step: Step) -> bool:
    if step.target == _BATCH_NORM:
        return step.args[_BATCH_NORM_FLAG] is True and step.args[3] is not None
    return step.target in _FLAGS and step.args[_FLAGS[step.target]] is True


def _in_mode(program: Program, training: bool) -> Program:
    """The program with dropout and batch norm in one mode, and without counters of batches, which modules have."""
    for step in program.steps:
        if step.target in _FLAGS:
            step.args[_FLAGS[step.target]] = training
        elif step.target == _BATCH_NORM and step.args[3] is not None:
            step.args[_BATCH_NORM_FLAG] = training
    steps = [step for step in program.steps if not _counts_batches(step)]
    return Program(steps, program.output, program.classes, program.constants)


def _counts_batches(step: Step) -> bool:
    first = step.args[0] if step.args else None
    return (
        step.target == "aten.add_.Tensor"
        and isinstance(first, dict)
        and str(first.get("tensor", "")).endswith(".num_batches_tracked")
    )
