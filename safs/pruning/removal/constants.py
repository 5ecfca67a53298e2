"""Constant outputs of removed units: without inputs, a unit outputs act(bias), which its readers can take as a bias."""

from collections.abc import Iterable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from safs.activations.symbolic_trace import trace
from safs.pruning.masks import prunable_parameters
from safs.pruning.removal.reference_output import reference_output
from safs.pruning.removal.units import UnitGroup, Units, positions_of

SPREAD = 1e-6
"""Relative spread up to which an input counts as constant; vectorised and scalar loops can differ in the last bit."""


@torch.no_grad()
def zero_incoming(model: nn.Module, groups: Sequence[UnitGroup], removed: Units) -> None:
    """Zeroes the weights into the ``removed`` units, in place, so that each unit outputs a constant; biases stay."""
    weights = prunable_parameters(model)
    for (name, dim), positions in positions_of(groups, removed, consumers=False).items():
        if name in weights:
            weights[name].index_fill_(dim, torch.tensor(positions, device=weights[name].device), 0.0)


@torch.no_grad()
def fold_constants(model: nn.Module, groups: Sequence[UnitGroup], removed: Units, example: Tensor) -> None:
    """Folds the constant outputs of the ``removed`` units into the biases of their readers, in place, where exact.

    An input of a reader is folded, b += W c, if it is the same number c everywhere in random images. That is exact for
    linear layers, and for convolutions without padding and groups. For a reader without a bias, the running mean of
    the batch norm that is its only reader is shifted instead, which is exact in eval mode (and in train mode, where
    any constant is subtracted). Other constants are dropped with their unit.

    Call this function after ``zero_incoming``, while the weights that read the units are still there.

    Args:
        example: one input, [1, channels, height, width], on the model's device.
    """
    columns = {
        path: positions
        for (name, _), positions in positions_of(groups, removed, producers=False).items()
        if _sums_its_input(model.get_submodule(path := name.rpartition(".")[0]))
    }
    if not columns:
        return
    norms = norms_behind(model)
    for path, constants in _constant_inputs(model, columns, example).items():
        layer = model.get_submodule(path)
        gone = torch.tensor(columns[path], device=constants.device)
        known = gone[~constants[gone].isnan()]
        weight = layer.get_parameter("weight")
        kernel_sums = weight if weight.dim() == 2 else weight.flatten(2).sum(2)
        shift(layer, norms.get(path), kernel_sums[:, known] @ constants[known])


def _sums_its_input(layer: nn.Module) -> bool:
    """True if a constant input adds the same number to an output at every position."""
    if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return layer.groups == 1 and (layer.padding == "valid" or not any(layer.padding))
    return isinstance(layer, nn.Linear)


def norms_behind(model: nn.Module) -> dict[str, nn.Module]:
    """Maps a layer's path to the batch norm, with running statistics, that is its only reader."""
    modules = dict(model.named_modules())
    norms: dict[str, nn.Module] = {}
    for node in trace(model, training=False).graph.nodes:
        if node.op == "call_module" and len(node.users) == 1 and (user := next(iter(node.users))).op == "call_module":
            norm = modules[str(user.target)]
            if isinstance(norm, nn.modules.batchnorm._BatchNorm) and norm.running_mean is not None:
                norms[str(node.target)] = norm
    return norms


def _constant_inputs(model: nn.Module, paths: Iterable[str], example: Tensor) -> dict[str, Tensor]:
    """Maps a layer's path to its inputs' constant values, [inputs]; NaN for an input that is not constant."""
    seen: dict[str, Tensor] = {}
    handles = [model.get_submodule(path).register_forward_pre_hook(partial(_observe, seen, path)) for path in paths]
    try:
        reference_output(model, example)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _observe(seen: dict[str, Tensor], path: str, layer: nn.Module, arguments: tuple[Tensor, ...]) -> None:
    inputs = arguments[0].movedim(-1 if isinstance(layer, nn.Linear) else 1, 0).flatten(1)
    low, high = inputs.amin(1), inputs.amax(1)
    if path in seen:  # a second call: the input is constant only if it has the same value in both
        low, high = torch.minimum(low, seen[path]), torch.maximum(high, seen[path])
    constant = high - low <= SPREAD * torch.maximum(high.abs(), low.abs())
    seen[path] = torch.where(constant, high, torch.nan)


def shift(layer: nn.Module, norm: nn.Module | None, change: Tensor) -> None:
    """Adds ``change`` to the output of ``layer``, by its bias or by ``norm``; does nothing if it has neither."""
    if isinstance(bias := getattr(layer, "bias", None), Tensor):
        bias.add_(change)
    elif norm is not None:
        norm.get_buffer("running_mean").sub_(change)
