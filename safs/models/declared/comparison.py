"""Compares a captured network with the module that it was captured from."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

from safs.errors import SurgeryError
from safs.models.declared.document import Document
from safs.models.declared.rebuild import rebuild
from safs.models.weights import copy_state
from safs.modes import in_mode

TOLERANCE = 1e-4
"""Largest allowed difference of the outputs, relative to the largest one. Most networks differ by nothing."""


def check_same(module: nn.Module, document: Document, tensors: Mapping[str, Tensor], images: Tensor) -> None:
    """Check that the rebuilt network gives the module's outputs in both modes, and updates the same statistics.

    Both get the same random numbers. The module's tensors stay as they are.

    Args:
        tensors: weights, buffers and constants by name.
        images: [batch, channels, size, size], on the module's device.

    Raises:
        SurgeryError: the outputs or the statistics differ.
    """
    network = rebuild(document, tensors).to(images.device)
    copy_state({name: tensors[name] for name in network.state_dict()}, network)
    for training in (False, True):
        own = {name: value.detach().clone() for name, value in _tensors(module).items()}
        with torch.no_grad(), in_mode(module, training), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            expected = _logits(functional_call(module, own, (images,)))
            torch.manual_seed(0)
            found = network.train(training)(images)
        mode = "train" if training else "eval"
        _compare(f"the output in {mode} mode", expected, found)
        for name, value in network.named_buffers():
            if name in own and value.is_floating_point():
                _compare(f"{name} after a step in {mode} mode", own[name].float(), value)


def check_outputs(
    document: Document, tensors: Mapping[str, Tensor], images: Tensor, expected: Tensor, *, training: bool
) -> None:
    """Check that the rebuilt network gives the ``expected`` output for the images in one mode, after the seed 0.

    Raises:
        SurgeryError: the outputs differ.
    """
    network = rebuild(document, tensors)
    copy_state({name: tensors[name] for name in network.state_dict()}, network)
    torch.manual_seed(0)
    with torch.no_grad():
        _compare("the output", _logits(expected), network.train(training)(images))


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _logits(output: object) -> Tensor:
    found = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", output)
    if isinstance(found, tuple | list) and len(found) == 1:
        found = found[0]
    if not isinstance(found, Tensor):
        raise SurgeryError(f"the forward returns a {type(output).__name__}; it must return logits [batch, classes]")
    return found


def _compare(what: str, expected: Tensor, found: Tensor) -> None:
    difference = (expected - found).abs().max().item()
    scale = max(expected.abs().max().item(), 1e-6)
    if not difference <= TOLERANCE * scale:
        raise SurgeryError(
            f"the captured network is another one: {what} differs by {difference:g} of {scale:g}. A forward that "
            "branches by random numbers of Python cannot be captured; a plugin can be used: docs/own-network.md"
        )
