"""Augmentation of whole batches by tensor operations."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

PADDING = 4
"""Width of the black border in pixels, on every side."""


@dataclass(frozen=True, slots=True)
class CropAndFlip:
    """Random crops of images padded with ``PADDING`` black pixels, half of them mirrored: the usual CIFAR augmentation.

    He et al., "Deep Residual Learning" (2015), arXiv:1512.03385, section 4.2.
    """

    tops: Tensor
    """First row of each crop, int64 [n], 0 to 2 * PADDING."""
    lefts: Tensor
    """First column of each crop, int64 [n], 0 to 2 * PADDING."""
    flips: Tensor
    """True for images to mirror, bool [n]."""

    @classmethod
    def draw(cls, samples: int, generator: torch.Generator) -> "CropAndFlip":
        """Draw the crops of a whole epoch on the CPU, so that every device trains on the same ones."""
        tops, lefts = torch.randint(2 * PADDING + 1, (2, samples), generator=generator)
        return cls(tops, lefts, torch.rand(samples, generator=generator) < 0.5)

    def to(self, device: torch.device) -> "CropAndFlip":
        return CropAndFlip(self.tops.to(device), self.lefts.to(device), self.flips.to(device))

    def batch(self, start: int, stop: int) -> "CropAndFlip":
        """Crops of the epoch's samples ``start`` to ``stop``."""
        return CropAndFlip(self.tops[start:stop], self.lefts[start:stop], self.flips[start:stop])

    def __call__(self, images: Tensor) -> Tensor:
        """Crop and mirror ``images``, [n, C, H, W] of any dtype; the shape stays the same."""
        samples, channels, height, width = images.shape
        padded = F.pad(images, (PADDING,) * 4)
        rows = torch.arange(height, device=images.device) + self.tops[:, None]
        columns = torch.arange(width, device=images.device).expand(samples, width)
        columns = torch.where(self.flips[:, None], width - 1 - columns, columns) + self.lefts[:, None]
        sample = torch.arange(samples, device=images.device)[:, None, None, None]
        channel = torch.arange(channels, device=images.device)[None, :, None, None]
        return padded[sample, channel, rows[:, None, :, None], columns[:, None, None, :]]
