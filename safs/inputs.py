"""Selections of inputs, for networks that read only some pixels or channels of an image."""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.fx
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class InputSelection:
    """The pixels or channels of full images [batch, C, H, W] that a network reads.

    The reduced form is [batch, k, 1, 1] for pixels (every kept pixel is a channel, so ``flatten(1)`` gives [batch, k])
    and [batch, k, H, W] for channels.

    Raises:
        ValueError: ``kept`` is empty, or not in ascending order from 0.
    """

    kind: Literal["pixel", "channel"]
    kept: tuple[int, ...]
    """Flat indices over C * H * W, or channel indices; ascending, without duplicates."""

    def __post_init__(self) -> None:
        if not self.kept:
            raise ValueError(f"a selection of inputs must keep at least one {self.kind}")
        if self.kept[0] < 0 or any(right <= left for left, right in zip(self.kept, self.kept[1:], strict=False)):
            raise ValueError(f"the kept {self.kind}s must be ascending from 0, without duplicates")


class SelectInputs(nn.Module):
    """A module that selects the kept inputs of full images. It has no weights and adds nothing to a state dict."""

    kept: Tensor

    def __init__(self, selection: InputSelection) -> None:
        super().__init__()
        self.selection = selection
        self.register_buffer("kept", torch.tensor(selection.kept, dtype=torch.int64), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """[batch, C, H, W] -> [batch, k, 1, 1] for pixels, [batch, k, H, W] for channels.

        Raises:
            ValueError: the images have fewer inputs than the selection names.
        """
        pixels = self.selection.kind == "pixel"
        inputs = images.flatten(1) if pixels else images
        _check_inputs(inputs, images, self.selection.kind, self.selection.kept[-1])
        kept = inputs.index_select(1, self.kept)
        return kept[:, :, None, None] if pixels else kept


@torch.fx.wrap  # torch.fx cannot trace a comparison of shapes.
def _check_inputs(inputs: Tensor, images: Tensor, kind: str, last: int) -> None:
    # On a GPU, index_select with a bad index would break the process.
    if last >= inputs.shape[1]:
        raise ValueError(f"{kind} {last} is kept, and images of {tuple(images.shape[1:])} have {inputs.shape[1]}")


class WithSelectedInputs(nn.Module):
    """A network that reads a part of the inputs, wrapped to take full normalised images [batch, C, H, W]."""

    def __init__(self, network: nn.Module, selection: InputSelection) -> None:
        super().__init__()
        self.select = SelectInputs(selection)
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """[batch, C, H, W] -> logits [batch, classes]."""
        logits: Tensor = self.network(self.select(images))
        return logits
