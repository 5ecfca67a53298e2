"""Augmentation of whole batches by tensor operations."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

PADDING = 4
"""Pixels, on every side."""


@dataclass(frozen=True, slots=True)
class CropAndFlip:
    """Random crops of images padded with ``PADDING`` black pixels, half of them mirrored; what is usual for CIFAR.

    He et al., "Deep Residual Learning" (2015), arXiv:1512.03385, section 4.2.
    """

    tops: Tensor
    """int64 [n], 0 .. 2 * PADDING: the crop's first row."""
    lefts: Tensor
    """int64 [n], 0 .. 2 * PADDING: the crop's first column."""
    flips: Tensor
    """bool [n]."""

    @classmethod
    def draw(cls, samples: int, generator: torch.Generator) -> "CropAndFlip":
        """Draws for an epoch at once on the CPU, so that every device trains on the same crops."""
        tops, lefts = torch.randint(2 * PADDING + 1, (2, samples), generator=generator)
        return cls(tops, lefts, torch.rand(samples, generator=generator) < 0.5)

    def to(self, device: torch.device) -> "CropAndFlip":
        return CropAndFlip(self.tops.to(device), self.lefts.to(device), self.flips.to(device))

    def batch(self, start: int, stop: int) -> "CropAndFlip":
        """The draws of samples ``start`` to ``stop`` of the epoch."""
        return CropAndFlip(self.tops[start:stop], self.lefts[start:stop], self.flips[start:stop])

    def __call__(self, images: Tensor) -> Tensor:
        """Cropped and mirrored ``images``, [n, C, H, W] of any dtype; the shape stays."""
        samples, channels, height, width = images.shape
        padded = F.pad(images, (PADDING,) * 4)
        rows = torch.arange(height, device=images.device) + self.tops[:, None]
        columns = torch.arange(width, device=images.device).expand(samples, width)
        columns = torch.where(self.flips[:, None], width - 1 - columns, columns) + self.lefts[:, None]
        sample = torch.arange(samples, device=images.device)[:, None, None, None]
        channel = torch.arange(channels, device=images.device)[None, :, None, None]
        return padded[sample, channel, rows[:, None, :, None], columns[:, None, None, :]]
