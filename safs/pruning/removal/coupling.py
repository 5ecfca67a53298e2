"""Which units (filters, neurons) of a network can be removed, and what goes with each."""

from functools import partial

from torch import Tensor, nn

from safs.errors import CompactionError
from safs.pruning.removal.deadline import TimeUp, within
from safs.pruning.removal.hidden_widths import hidden_widths
from safs.pruning.removal.units import Slot, UnitGroup

__all__ = ["Slot", "UnitGroup", "find_groups"]


def find_groups(model: nn.Module, example: Tensor, *, time_limit_s: float = 20.0) -> tuple[UnitGroup, ...]:
    """The groups of units that can be removed from ``model``, which is left as it is; meta devices will do.

    A network that normalises over channels or attends offers the hidden widths of its perceptrons; any other offers
    what torch-pruning finds, and its perceptrons' widths if that fails. The way is chosen by the network's layers
    alone: the same network has the same groups on every machine, or none where the time was up.

    Args:
        example: one input, [1, channels, height, width]; only its shape matters.
        time_limit_s: CPU seconds that torch-pruning may take.

    Raises:
        CompactionError: no group was found, or not in time.
    """
    groups = hidden_widths(model) if _mixes_channels(model) else ()
    if groups:
        return groups
    # Here and not within the time limit: torch-pruning takes as long to import as torch, and brings timm with it.
    from safs.pruning.removal.dependency import dependency_groups

    failure: Exception | None = None
    try:
        groups = within(time_limit_s, partial(dependency_groups, model, example))
    except TimeUp:
        raise _refusal(model, f"torch-pruning found no groups within {time_limit_s:g} s of CPU time") from None
    except Exception as error:  # torch-pruning meets foreign models: anything can come
        failure = error
    groups = groups or hidden_widths(model)
    if not groups:
        why = (
            f"torch-pruning failed ({type(failure).__name__}: {failure})"
            if failure
            else "all that it could lose is its output, or tied together"
        )
        raise _refusal(model, why) from failure
    return groups


def _mixes_channels(model: nn.Module) -> bool:
    """Whether a norm or attention reads all channels at once, so that none can go without a trace."""
    norms = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
    return any(isinstance(module, norms) or "Attention" in type(module).__name__ for module in model.modules())


def _refusal(model: nn.Module, why: str) -> CompactionError:
    return CompactionError(
        f"no filters or neurons of {type(model).__name__} can be removed as a whole: {why}. Choose prune.granularity: "
        "weight, which prunes every network.",
        field="prune.granularity",
    )
