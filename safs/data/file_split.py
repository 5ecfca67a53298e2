"""A split whose images stay in files and are decoded as batches are made."""

from collections.abc import Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from safs.data.augmentation import CropAndFlip
from safs.data.locations import open_resolved
from safs.errors import DataError

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "PPM", "TIFF")
"""Whatever a file is called. Pillow reads others too, some of them (EPS) by running another program."""
MOST_PIXELS = 64_000_000
"""Of a picture; decoded as RGB it takes three times as many bytes, and several are decoded at once."""


@dataclass(frozen=True, slots=True)
class FileSplit:
    """Image files and labels; worker processes decode, the device augments and normalises."""

    files: tuple[str, ...]
    labels: Tensor
    """int64 [N]."""
    mean: Tensor
    std: Tensor
    """float32 [C], of the training split, in 0 .. 255."""
    classes: int
    channels: int
    image_size: int
    crop_and_flip: bool
    workers: int
    """Processes that decode; 0 decodes in this one."""

    def __len__(self) -> int:
        return len(self.files)

    @property
    def scale(self) -> float:
        return 255.0

    def on(self, device: torch.device) -> "FileSplit":
        return self

    def batches(
        self,
        batch_size: int,
        *,
        device: torch.device,
        generator: torch.Generator | None = None,
        augment: bool = False,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        order = range(len(self)) if generator is None else torch.randperm(len(self), generator=generator).tolist()
        draws = None
        if augment and self.crop_and_flip and generator is not None:
            draws = CropAndFlip.draw(len(self), generator).to(device)
        mean, std = (numbers.to(device)[:, None, None] for numbers in (self.mean, self.std))
        start = 0
        for images, labels in self._loader(order, batch_size, on_gpu=device.type == "cuda"):
            images = images.to(device, non_blocking=True)
            if draws is not None:
                images = draws.batch(start, start + len(images))(images)
            start += len(images)
            yield images.sub(mean).div_(std), labels.to(device, non_blocking=True)

    def _loader(self, order: Sized, batch_size: int, on_gpu: bool) -> "DataLoader[tuple[Tensor, Tensor]]":
        return DataLoader(
            _Decoded(self),
            batch_size=batch_size,
            sampler=order,  # type: ignore[arg-type]  # any iterable of indices with a length will do
            num_workers=self.workers,
            pin_memory=on_gpu,
            multiprocessing_context="forkserver" if self.workers else None,  # Forking a process with threads may hang.
            generator=torch.Generator(),  # Otherwise every pass would draw from torch's global one.
        )


class _Decoded(Dataset[tuple[Tensor, Tensor]]):
    def __init__(self, split: FileSplit) -> None:
        self._split = split

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        split = self._split
        return decode(split.files[index], split.channels, split.image_size), split.labels[index]


def decode(file: str, channels: int, image_size: int) -> Tensor:
    """The picture as uint8 [C, image_size, image_size]: scaled by its shorter side, cropped to the middle square.

    Args:
        channels: 1 (grey) or 3 (RGB).

    Raises:
        DataError: the file is no picture, damaged, or of absurd size.
    """
    with open_picture(file) as opened:
        picture = opened.convert("L" if channels == 1 else "RGB")
    fitted = ImageOps.fit(picture, (image_size, image_size), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(fitted)).view(image_size, image_size, channels).permute(2, 0, 1).contiguous()


@contextmanager
def open_picture(file: str) -> Iterator[Image.Image]:
    """The picture, its pixels still undecoded; what goes wrong with it meanwhile becomes a DataError.

    Args:
        file: a resolved path; links that have come into it since are not followed.
    """
    try:
        with open_resolved(Path(file)) as stream, Image.open(stream, formats=FORMATS) as opened:
            if prod(opened.size) > MOST_PIXELS:
                raise ValueError(f"it has {opened.size[0]} x {opened.size[1]} pixels; at most {MOST_PIXELS:,} are read")
            yield opened
    except UnidentifiedImageError as error:
        raise DataError(
            f"{file} cannot be read as a picture: it is none of {', '.join(FORMATS)}", field="data.path"
        ) from error
    except Exception as error:  # Pillow's decoders raise whatever they trip over.
        raise DataError(f"{file} cannot be read as a picture: {error}", field="data.path") from error
