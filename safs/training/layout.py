"""The memory layout of a network's weights while it is trained."""

import torch
from torch import nn

WIDE = 16
"""Input channels of a convolution from which channels-last is used. Below, it gains nothing (lenet5)."""


def to_fast_layout(model: nn.Module, device: torch.device) -> nn.Module:
    """Move ``model`` to ``device``; on a CPU, networks with wide convolutions get the layout channels-last.

    The layout of the weights decides the layout of the activations. On a CPU the training steps of resnet18, vgg11,
    mobilenet_v3_small, efficientnet_b0, densenet121 and convnext_tiny take 0.59 to 0.96 of the time
    (docs/benchmarks.md). The results differ by rounding. On a GPU the layout stays contiguous.

    Call this before anything refers to the memory of the weights, such as an optimizer or masks that are held.
    """
    model.to(device)
    if device.type == "cpu" and any(_is_wide(module) for module in model.modules()):
        model.to(memory_format=torch.channels_last)
    return model


def to_contiguous(model: nn.Module) -> nn.Module:
    """Undo ``to_fast_layout`` in place; the values stay the same."""
    return model.to(memory_format=torch.contiguous_format)


def _is_wide(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and module.in_channels >= WIDE
