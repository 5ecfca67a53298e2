"""Masks, and what they may cover.

A mask is True where a weight is kept. Sparsity is counted from the saved numbers alone, as the fraction that is exactly
zero, so masks and zeros must say the same: ``apply_masks`` makes pruned weights +0.0, and a kept weight that happens
to be exactly 0.0 becomes the smallest normal number of its dtype (1.2e-38 in float32). No accuracy can tell that from
zero, it is as free to train as before, and the count of zeros stays exact to the single weight. Such weights are rare
but real: dense weights that were sparse before, or one of millions of steps that lands on zero.
"""

from collections.abc import Mapping
from typing import TypeAlias

import torch
from torch import Tensor, nn

Masks: TypeAlias = dict[str, Tensor]
"""Parameter name -> bool tensor of the parameter's shape; True keeps the weight."""

_PRUNABLE = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


def prunable_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The weights of convolutions and linear layers by parameter name, in the model's own order.

    Biases, norms and embeddings are not prunable, nor is the stacked ``in_proj_weight`` of ``nn.MultiheadAttention``,
    which belongs to no linear layer (its ``out_proj`` does). A weight that layers share is listed once, under its
    first name.
    """
    prunable: dict[str, nn.Parameter] = {}
    seen: set[int] = set()
    for path, module in model.named_modules():
        if isinstance(module, _PRUNABLE) and id(weight := module.get_parameter("weight")) not in seen:
            seen.add(id(weight))
            prunable[f"{path}.weight" if path else "weight"] = weight
    return prunable


@torch.no_grad()
def apply_masks(parameters: Mapping[str, Tensor], masks: Masks) -> None:
    """Zeroes the pruned weights in place, and makes every kept weight non-zero (see this file's head).

    Args:
        parameters: at least the masked names, as of ``named_parameters`` or a state dict; any device.
    """
    for name, mask in masks.items():
        weight = parameters[name]
        keep = mask.to(weight.device)
        weight.masked_fill_(keep & (weight == 0), torch.finfo(weight.dtype).tiny)
        weight.masked_fill_(~keep, 0.0)
