"""Makes a network physically smaller: takes removed units out of its tensors without changing its output."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from safs.errors import CompactionError
from safs.inputs import InputSelection, WithSelectedInputs
from safs.models.form import Form
from safs.pruning.masks import Masks, apply_masks, prunable_parameters
from safs.pruning.removal.choose_units import Removal
from safs.pruning.removal.constants import fold_constants, zero_incoming
from safs.pruning.removal.cutting import take_out, without
from safs.pruning.removal.reference_output import reference_output
from safs.pruning.removal.units import UnitGroup, Units, positions_of

TOLERANCE = 1e-5
"""Largest allowed difference between the outputs of the smaller and the masked network, relative to the largest one."""


def shrink(
    model: nn.Module,
    groups: Sequence[UnitGroup],
    removal: Removal,
    example: Tensor,
    inputs: InputSelection | None = None,
) -> tuple[Form, Masks]:
    """Carries out ``removal`` in place: zeroes single weights, takes units out, and folds their constants into biases.

    Args:
        example: one full input, [1, channels, height, width], on the model's device.
        inputs: the inputs that the smaller network reads; None if it reads all of them.

    Returns:
        The form of the smaller network and the masks of its prunable parameters.

    Raises:
        CompactionError: as ``compact``.
    """
    zero_incoming(model, groups, removal.units)
    fold_constants(model, groups, removal.units, example)
    apply_masks(prunable_parameters(model), removal.masks)
    shapes = compact(model, groups, removal.units, example, inputs)
    return Form(shapes, inputs), masks_of_compact(removal.masks, groups, removal.units)


@torch.no_grad()
def zero_units(model: nn.Module, groups: Sequence[UnitGroup], removed: Units) -> None:
    """Zeroes the rows, biases and norms of the ``removed`` units and the columns that read them, in place.

    Each unit then outputs act(0), and nothing reads it.
    """
    tensors: dict[str, Tensor] = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for (name, dim), positions in positions_of(groups, removed).items():
        if not name.endswith("running_var"):  # batch norm divides by it
            tensors[name].index_fill_(dim, torch.tensor(positions, device=tensors[name].device), 0.0)


def compact(
    model: nn.Module,
    groups: Sequence[UnitGroup],
    removed: Units,
    example: Tensor,
    inputs: InputSelection | None = None,
) -> dict[str, tuple[int, ...]]:
    """Zeroes the ``removed`` units and takes them out of ``model``, in place, with torch-pruning's functions.

    The parameters are new objects afterwards, so an existing optimizer is of no use.

    Args:
        example, inputs: as ``shrink``.

    Returns:
        The new shapes of the parameters and buffers that shrank, by name.

    Raises:
        CompactionError: the smaller network does not run, or its output differs from the masked network's by more than
            ``TOLERANCE``. The model is then in an undefined state.
    """
    zero_units(model, groups, removed)
    expected = reference_output(model, example)
    before = {name: value.shape for name, value in model.state_dict().items()}
    take_out(model, groups, removed)
    try:
        smaller = model if inputs is None else WithSelectedInputs(model, inputs).to(example.device)
        found = reference_output(smaller, example)
    except Exception as error:  # forward is foreign code and meets sizes it does not know: it can raise anything
        raise _refusal(model, f"the network does not run without them ({error})") from error
    difference, scale = (found - expected).abs().max().item(), expected.abs().max().item()
    if not difference <= TOLERANCE * scale:
        raise _refusal(model, f"its outputs, at most {scale:g} in size, change by {difference:g} without them")
    after = {name: value.shape for name, value in model.state_dict().items()}
    return {name: tuple(shape) for name, shape in after.items() if shape != before[name]}


def masks_of_compact(masks: Masks, groups: Sequence[UnitGroup], removed: Units) -> Masks:
    """Returns the full network's ``masks`` without the rows and columns of the ``removed`` units."""
    compacted = dict(masks)
    for (name, dim), positions in positions_of(groups, removed).items():
        if name in compacted:
            compacted[name] = without(compacted[name], dim, positions)
    return compacted


def _refusal(model: nn.Module, why: str) -> CompactionError:
    return CompactionError(
        f"filters or neurons of {type(model).__name__} cannot be removed as a whole: {why}. Choose prune.granularity: "
        "weight, which prunes every network.",
        field="prune.granularity",
    )
