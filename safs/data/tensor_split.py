"""A split held in memory as two tensors."""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from safs.data.augmentation import CropAndFlip

CHUNK = 4096
"""Number of images converted at a time, so that float copies stay small."""


@dataclass(frozen=True, slots=True)
class TensorSplit:
    """Images and labels in memory. Batches are gathered on the images' device, and augmented on the training's."""

    images: Tensor
    """Images [N, C, H, W], uint8, or float32 if the data set stores floats."""
    labels: Tensor
    """Labels from 0, int64 [N]."""
    mean: Tensor
    """Mean of the training split by channel, float32 [C], in the units of ``images``."""
    std: Tensor
    """Standard deviation of the training split by channel, float32 [C], in the units of ``images``."""
    classes: int
    channels: int
    image_size: int
    """Pixels a side of the images in a batch; images stored at another size are resized batch by batch."""
    crop_and_flip: bool = False
    """True if training batches are randomly cropped and mirrored."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def scale(self) -> float:
        return 255.0 if self.images.dtype == torch.uint8 else 1.0

    def on(self, device: torch.device) -> "TensorSplit":
        return replace(
            self,
            images=self.images.to(device),
            labels=self.labels.to(device),
            mean=self.mean.to(device),
            std=self.std.to(device),
        )

    def batches(
        self,
        batch_size: int,
        *,
        device: torch.device,
        generator: torch.Generator | None = None,
        augment: bool = False,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        order = None if generator is None else torch.randperm(len(self), generator=generator).to(self.images.device)
        draws = None
        if augment and self.crop_and_flip and generator is not None:
            draws = CropAndFlip.draw(len(self), generator).to(device)
        mean, std = (numbers.to(device)[:, None, None] for numbers in (self.mean, self.std))
        for start in range(0, len(self), batch_size):
            stop = min(start + batch_size, len(self))
            images, labels = self._gather(order, start, stop)
            images = images.to(device)
            if draws is not None:
                images = draws.batch(start, stop)(images)
            yield fit(images, self.channels, self.image_size).sub(mean).div_(std), labels.to(device)

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """The split as numpy arrays over the same memory, so that an object store can share it without copies."""
        tensors = {"images": self.images, "labels": self.labels, "mean": self.mean, "std": self.std}
        shape = np.array([self.classes, self.channels, self.image_size, self.crop_and_flip], dtype=np.int64)
        return {name: tensor.cpu().numpy() for name, tensor in tensors.items()} | {"shape": shape}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> "TensorSplit":
        """The split over the memory of arrays from ``to_arrays``, which may be read-only."""
        classes, channels, image_size, crop_and_flip = arrays["shape"].tolist()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable", category=UserWarning)
            images, labels, mean, std = (torch.from_numpy(arrays[name]) for name in ("images", "labels", "mean", "std"))
        return cls(images, labels, mean, std, classes, channels, image_size, bool(crop_and_flip))

    def _gather(self, order: Tensor | None, start: int, stop: int) -> tuple[Tensor, Tensor]:
        if order is None:
            return self.images[start:stop], self.labels[start:stop]
        chosen = order[start:stop]
        return self.images.index_select(0, chosen), self.labels.index_select(0, chosen)


def fit(images: Tensor, channels: int, image_size: int) -> Tensor:
    """Resize ``images``, [N, C, H, W], bilinearly to ``image_size`` pixels a side, and repeat grey to ``channels``.

    Images that are not square are stretched. Downsizing is antialiased. The dtype stays the same; uint8 is rounded.
    """
    if images.shape[1] != channels:
        images = images.expand(-1, channels, -1, -1)
    if images.shape[2:] == (image_size, image_size):
        return images
    resized = F.interpolate(images.float(), size=(image_size, image_size), mode="bilinear", antialias=True)
    return resized.round_().clamp_(0, 255).to(torch.uint8) if images.dtype == torch.uint8 else resized


def fit_in_chunks(images: Tensor, channels: int, image_size: int) -> Tensor:
    """``fit`` for many images. Makes one copy, or none if the size is right, and no float copy of all of them."""
    if images.shape[1:] == (channels, image_size, image_size):
        return images
    fitted = torch.empty(len(images), channels, image_size, image_size, dtype=images.dtype)
    for start in range(0, len(images), CHUNK):
        fitted[start : start + CHUNK] = fit(images[start : start + CHUNK], channels, image_size)
    return fitted


def mean_and_std(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation by channel, float32 [C] each, of ``images`` [N, C, H, W].

    A constant channel gets a deviation of 1, so that normalisation never divides by zero.
    """
    pixels = torch.zeros((), dtype=torch.float64)
    total = torch.zeros(images.shape[1], dtype=torch.float64)
    squares = torch.zeros_like(total)
    for chunk in torch.split(images, CHUNK):
        values = chunk.double()
        pixels += values[:, 0].numel()
        total += values.sum((0, 2, 3))
        squares += values.square().sum((0, 2, 3))
    mean = total / pixels
    variance = (squares / pixels - mean.square()).clamp_min_(0)
    std = torch.where(variance > 1e-12 * (1 + mean.square()), variance.sqrt(), 1.0)
    return mean.float(), std.float()
