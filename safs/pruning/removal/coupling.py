"""Which units (filters, neurons) of a network can be removed, and what is removed with each."""

from torch import Tensor, nn

from safs.errors import CompactionError
from safs.pruning.removal.hidden_widths import hidden_widths
from safs.pruning.removal.units import UnitGroup

STEP_LIMIT = 15_000_000
"""Steps of torch-pruning's search, about 30 s on one core. torchvision's largest convolutional network in this respect,
DenseNet-201, takes 11 million; ResNeXt-101 takes 31,000."""


def find_groups(model: nn.Module, example: Tensor, *, step_limit: int = STEP_LIMIT) -> tuple[UnitGroup, ...]:
    """The groups of units that can be removed from ``model``.

    A network with attention, or with norms over channels, offers the hidden widths of its perceptrons. Any other
    network offers what torch-pruning finds, and the hidden widths of its perceptrons where torch-pruning fails. The
    result depends on the network alone, never on the machine.

    Args:
        model: left as it is; may be on the meta device.
        example: one input, [1, channels, height, width]; only its shape matters.
        step_limit: steps that torch-pruning's search may take.

    Raises:
        CompactionError: no group was found, or none within ``step_limit``.
    """
    groups = hidden_widths(model) if _mixes_channels(model) else ()
    if groups:
        return groups
    # Not at the top of the file: importing torch-pruning takes as long as importing torch, since it imports timm.
    from safs.pruning.removal.bounded_graph import LimitReached, Steps
    from safs.pruning.removal.dependency import dependency_groups

    failure: Exception | None = None
    try:
        groups = dependency_groups(model, example, Steps(step_limit))
    except LimitReached as limit:
        raise _refusal(model, f"torch-pruning's search for groups was ended, since {limit}") from None
    except Exception as error:  # torch-pruning runs foreign models, which can raise anything
        failure = error
    groups = groups or hidden_widths(model)
    if not groups:
        why = (
            f"torch-pruning failed ({type(failure).__name__}: {failure})"
            if failure
            else "the only units it could lose are its outputs, or cannot be removed one by one"
        )
        raise _refusal(model, why) from failure
    return groups


def _mixes_channels(model: nn.Module) -> bool:
    """True if a norm or attention reads all channels at once, so that removing one changes the others' results."""
    norms = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
    return any(isinstance(module, norms) or "Attention" in type(module).__name__ for module in model.modules())


def _refusal(model: nn.Module, why: str) -> CompactionError:
    return CompactionError(
        f"no filters or neurons of {type(model).__name__} can be removed as a whole: {why}. Choose prune.granularity: "
        "weight, which prunes every network.",
        field="prune.granularity",
    )
