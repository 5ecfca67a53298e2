"""Masks, and the parameters that can be pruned.

A mask is True where a weight is kept. Sparsity is counted from the saved numbers as the fraction that is exactly zero,
so masks and zeros must agree: ``apply_masks`` sets pruned weights to +0.0, and a kept weight that is exactly 0.0 to the
smallest normal number of its dtype (1.2e-38 in float32). That number has the same effect as zero and trains as freely,
and the count of zeros stays exact to the single weight. Kept weights of exactly 0.0 are rare but occur: in dense
weights that were sparse before, or when one of millions of steps lands on zero.
"""

from collections.abc import Mapping
from typing import TypeAlias

import torch
from torch import Tensor, nn

Masks: TypeAlias = dict[str, Tensor]
"""Parameter name -> bool tensor of the parameter's shape; True keeps the weight."""

_PRUNABLE = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


def prunable_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Returns the weights of convolutions and linear layers by parameter name, in the order of the model.

    Biases, norms and embeddings are not prunable, nor is the stacked ``in_proj_weight`` of ``nn.MultiheadAttention``,
    which is not part of a linear layer (its ``out_proj`` is). A weight shared by layers is listed once, under its first
    name.
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
    """Zeroes the pruned weights and makes every kept weight non-zero, in place (see the top of this file).

    Args:
        parameters: tensors by name, on any device, for at least the names in ``masks``.
    """
    for name, mask in masks.items():
        weight = parameters[name]
        keep = mask.to(weight.device)
        weight.masked_fill_(keep & (weight == 0), torch.finfo(weight.dtype).tiny)
        weight.masked_fill_(~keep, 0.0)
