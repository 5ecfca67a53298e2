"""Layers that use an earlier layer's weight: y = scale * (w_owner x + b), with their own bias b, if they have one.

The scale is one learnable number for each layer, the parameter ``share_scale``. The weight is one parameter: its
gradient is the sum over all layers that use it, and a state dict holds it once, under the owner's name.

Li, Durrant, Markovic et al., "Pushing the Limits of Sparsity" (2025), arXiv:2411.13545, where later blocks of a stage
use the convolutions of an earlier block.
"""

from typing import Any

import torch
from torch import Tensor, nn

from safs.errors import WeightsError


class _Shared(nn.Module):
    """Base of layers whose state excludes the weight, which belongs to the owner."""

    share_scale: nn.Parameter

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        del destination[f"{prefix}weight"]

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        # state_dict is a copy that load_state_dict made; the weight is copied onto itself.
        state_dict[f"{prefix}weight"] = self.get_parameter("weight").detach()
        super()._load_from_state_dict(state_dict, prefix, *args)


class SharedConv2d(_Shared, nn.Conv2d):
    """A convolution that uses the weight of another convolution."""

    def __init__(self, layer: nn.Conv2d, owner: nn.Parameter) -> None:
        super().__init__(
            layer.in_channels,
            layer.out_channels,
            layer.kernel_size,  # type: ignore[arg-type]  # declared as a tuple of any length
            layer.stride,  # type: ignore[arg-type]  # as above
            layer.padding,  # type: ignore[arg-type]  # as above
            layer.dilation,  # type: ignore[arg-type]  # as above
            layer.groups,
            bias=layer.bias is not None,
            padding_mode=layer.padding_mode,
            device="meta",  # The discarded weight draws no random numbers.
        )
        _take_weight(self, layer, owner)

    def forward(self, images: Tensor) -> Tensor:
        """The convolution with the owner's weight, times ``share_scale``."""
        return super().forward(images) * self.share_scale


class SharedLinear(_Shared, nn.Linear):
    """A linear layer that uses the weight of another linear layer."""

    def __init__(self, layer: nn.Linear, owner: nn.Parameter) -> None:
        super().__init__(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
        _take_weight(self, layer, owner)

    def forward(self, x: Tensor) -> Tensor:
        """The product with the owner's weight, times ``share_scale``."""
        return super().forward(x) * self.share_scale


def tie(model: nn.Module, user: str, owner: str) -> None:
    """Replace the weight named ``user`` by the weight named ``owner``, in place, with a scale of 1.

    Raises:
        WeightsError: the two are not weights of plain Conv2d or Linear layers of one shape, the owner's layer does not
            come first (a shared weight is saved under its first name), or the owner's weight is itself shared.
    """
    paths = {path: position for position, (path, _) in enumerate(model.named_modules())}
    user_path, owner_path = user.removesuffix(".weight"), owner.removesuffix(".weight")
    if user_path not in paths or owner_path not in paths or paths[owner_path] >= paths[user_path]:
        raise WeightsError(
            f"{user!r} cannot share {owner!r}: both must be weights of {type(model).__name__}, the owner first"
        )
    layer, owner_layer = model.get_submodule(user_path), model.get_submodule(owner_path)
    if type(layer) is not type(owner_layer) or layer.weight.shape != owner_layer.weight.shape:
        raise WeightsError(f"{user!r} cannot share {owner!r}: the layers differ in type or in the weight's shape")
    weight = owner_layer.get_parameter("weight")
    if type(layer) is nn.Conv2d:
        model.set_submodule(user_path, SharedConv2d(layer, weight))
    elif type(layer) is nn.Linear:
        model.set_submodule(user_path, SharedLinear(layer, weight))
    else:
        raise WeightsError(
            f"{user!r} is the weight of a {type(layer).__name__}; only Conv2d and Linear layers share weights"
        )


def _take_weight(shared: SharedConv2d | SharedLinear, layer: nn.Conv2d | nn.Linear, owner: nn.Parameter) -> None:
    shared.weight, shared.bias = owner, layer.bias
    shared.share_scale = nn.Parameter(torch.ones((), dtype=owner.dtype, device=owner.device))
    shared.train(layer.training)
