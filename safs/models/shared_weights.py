"""Layers that use an earlier layer's weight: y = scale * (w_owner x + b), with a bias (if any) of their own.

The scale is one learnable number a layer, its parameter ``share_scale``. Li, Durrant, Markovic et al., "Pushing the
Limits of Sparsity" (2025), arXiv:2411.13545, where the later blocks of a stage use the convolutions of an earlier one.
The weight is one parameter: its gradient is the sum over its users, and a state dict holds it once, under the owner.
"""

from typing import Any

import torch
from torch import Tensor, nn

from safs.errors import WeightsError


class _Shared(nn.Module):
    """The state of a layer without its weight, which is the owner's."""

    share_scale: nn.Parameter

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        del destination[f"{prefix}weight"]

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        state_dict[f"{prefix}weight"] = self.get_parameter(
            "weight"
        ).detach()  # the caller's own copy of the dict; a copy onto itself
        super()._load_from_state_dict(state_dict, prefix, *args)


class SharedConv2d(_Shared, nn.Conv2d):
    """A convolution with another one's weight."""

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
            device="meta",  # draws no random numbers for a weight that is not used
        )
        _borrow(self, layer, owner)

    def forward(self, images: Tensor) -> Tensor:
        """The layer's own convolution times ``share_scale``."""
        return super().forward(images) * self.share_scale


class SharedLinear(_Shared, nn.Linear):
    """A linear layer with another one's weight."""

    def __init__(self, layer: nn.Linear, owner: nn.Parameter) -> None:
        super().__init__(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
        _borrow(self, layer, owner)

    def forward(self, x: Tensor) -> Tensor:
        """The layer's own product times ``share_scale``."""
        return super().forward(x) * self.share_scale


def tie(model: nn.Module, user: str, owner: str) -> None:
    """Makes the weight named ``user`` the one named ``owner``, in place; the scale is 1.

    Raises:
        WeightsError: the two are no weights of plain Conv2d or Linear layers of one shape, the owner does not come
            first (a shared weight goes by its first name), or it is itself another's.
    """
    paths = {path: position for position, (path, _) in enumerate(model.named_modules())}
    user_path, owner_path = user.removesuffix(".weight"), owner.removesuffix(".weight")
    if user_path not in paths or owner_path not in paths or paths[owner_path] >= paths[user_path]:
        raise WeightsError(f"{user!r} cannot be {owner!r}: both must be weights of {type(model).__name__}, owner first")
    layer, lender = model.get_submodule(user_path), model.get_submodule(owner_path)
    if type(layer) is not type(lender) or layer.weight.shape != lender.weight.shape:
        raise WeightsError(f"{user!r} cannot be {owner!r}: the layers are not of one type and shape")
    weight = lender.get_parameter("weight")
    if type(layer) is nn.Conv2d:
        model.set_submodule(user_path, SharedConv2d(layer, weight))
    elif type(layer) is nn.Linear:
        model.set_submodule(user_path, SharedLinear(layer, weight))
    else:
        raise WeightsError(f"{user!r} is the weight of a {type(layer).__name__}; only Conv2d and Linear layers share")


def _borrow(shared: SharedConv2d | SharedLinear, layer: nn.Conv2d | nn.Linear, owner: nn.Parameter) -> None:
    shared.weight, shared.bias = owner, layer.bias
    shared.share_scale = nn.Parameter(torch.ones((), dtype=owner.dtype, device=owner.device))
    shared.train(layer.training)
