"""Makes a network physically smaller: removed units leave its tensors, and it computes what it did with zeros."""

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
"""Of the largest output: how far the smaller network's may be from the masked one's."""


def shrink(
    model: nn.Module,
    groups: Sequence[UnitGroup],
    removal: Removal,
    example: Tensor,
    inputs: InputSelection | None = None,
) -> tuple[Form, Masks]:
    """Carries ``removal`` out in place: single weights become zero, units leave, their constants stay where possible.

    Args:
        example: one whole input, [1, channels, height, width], on the model's device.
        inputs: what of it the smaller network reads, where inputs are among the removed units.

    Returns:
        The form of the smaller network, and the masks of its prunable parameters.

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
    """The masked network, in place: the units' rows, biases, norms and the columns that read them become zero.

    So each unit puts out exactly act(0) and nobody reads it.
    """
    tensors: dict[str, Tensor] = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for (name, dim), positions in positions_of(groups, removed).items():
        if not name.endswith("running_var"):  # it divides
            tensors[name].index_fill_(dim, torch.tensor(positions, device=tensors[name].device), 0.0)


def compact(
    model: nn.Module,
    groups: Sequence[UnitGroup],
    removed: Units,
    example: Tensor,
    inputs: InputSelection | None = None,
) -> dict[str, tuple[int, ...]]:
    """Takes the ``removed`` units out of ``model``, in place, by torch-pruning's functions; they are zeroed before.

    Parameters are new ones afterwards, so an optimizer must be made anew.

    Args:
        example, inputs: as ``shrink``.

    Returns:
        Name -> shape of the parameters and buffers that shrank.

    Raises:
        CompactionError: the smaller network does not run, or its output differs from that of the network with zeros
            by more than ``TOLERANCE``. The model is then of no use.
    """
    zero_units(model, groups, removed)
    expected = reference_output(model, example)
    before = {name: value.shape for name, value in model.state_dict().items()}
    take_out(model, groups, removed)
    try:
        smaller = model if inputs is None else WithSelectedInputs(model, inputs).to(example.device)
        found = reference_output(smaller, example)
    except Exception as error:  # forward is foreign code that meets unknown sizes: anything can come
        raise _refusal(model, f"without them it does not run ({error})") from error
    difference, scale = (found - expected).abs().max().item(), expected.abs().max().item()
    if not difference <= TOLERANCE * scale:
        raise _refusal(model, f"without them its outputs, of at most {scale:g}, change by {difference:g}")
    after = {name: value.shape for name, value in model.state_dict().items()}
    return {name: tuple(shape) for name, shape in after.items() if shape != before[name]}


def masks_of_compact(masks: Masks, groups: Sequence[UnitGroup], removed: Units) -> Masks:
    """The full network's ``masks`` without the rows and columns of ``removed`` units."""
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
