"""Takes units out of a network's tensors, with torch-pruning's function for each kind of layer."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from safs.pruning.removal.units import UnitGroup, Units, positions_of


@torch.no_grad()
def take_out(model: nn.Module, groups: Sequence[UnitGroup], removed: Units) -> None:
    """Removes the units from ``model``, in place; the parameters are new objects afterwards.

    All rows of a layer are removed in one call, and so are all its columns, so that no index shifts before its use.
    """
    sides: dict[tuple[str, int], set[int]] = {}
    for (name, dim), positions in positions_of(groups, removed).items():
        path, _, leaf = name.rpartition(".")
        owner = model.get_submodule(path)
        if isinstance(owner, _LAYERS):
            sides.setdefault((path, dim), set()).update(positions)
        else:  # a parameter of a module that torch-pruning does not know, such as a layer scale
            parameter = owner.get_parameter(leaf)
            owner.register_parameter(leaf, nn.Parameter(without(parameter.detach(), dim, positions)))
    for (path, dim), gone in sides.items():
        _take_from_layer(model.get_submodule(path), dim, sorted(gone))


def without(tensor: Tensor, dim: int, positions: list[int]) -> Tensor:
    """Returns ``tensor`` without the ``positions`` along ``dim``."""
    kept = torch.ones(tensor.shape[dim], dtype=torch.bool).index_fill_(0, torch.tensor(positions), False)
    return tensor.index_select(dim, kept.nonzero().squeeze(1).to(tensor.device))


_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, nn.modules.batchnorm._BatchNorm, nn.PReLU)


def _take_from_layer(layer: nn.Module, dim: int, positions: list[int]) -> None:
    """Removes rows (dimension 0, with their biases and statistics) or columns (dimension 1) of ``layer``."""
    import torch_pruning as tp  # importing it takes as long as torch, and pruning single weights does not need it

    match layer:
        case nn.Conv1d() | nn.Conv2d() | nn.Conv3d() if 1 < layer.groups == layer.in_channels == layer.out_channels:
            tp.prune_depthwise_conv_out_channels(layer, positions)
        case nn.Conv1d() | nn.Conv2d() | nn.Conv3d() if dim == 1:
            width = layer.in_channels // layer.groups  # a column is one channel in each group of the convolution
            tp.prune_conv_in_channels(
                layer, [start + p for start in range(0, layer.in_channels, width) for p in positions]
            )
        case nn.Conv1d() | nn.Conv2d() | nn.Conv3d():
            tp.prune_conv_out_channels(layer, positions)
        case nn.Linear():
            (tp.prune_linear_in_channels if dim == 1 else tp.prune_linear_out_channels)(layer, positions)
        case nn.modules.batchnorm._BatchNorm():
            tp.prune_batchnorm_out_channels(layer, positions)
        case _:
            tp.prune_prelu_out_channels(layer, positions)
