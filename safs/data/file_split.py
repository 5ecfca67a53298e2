"""A split whose images stay in files and are decoded for each batch."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile
from torch import Tensor

from safs.data.augmentation import CropAndFlip
from safs.data.decoders import Decoders
from safs.data.locations import open_resolved
from safs.errors import DataError

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "PPM", "TIFF")
"""Formats that are read, whatever the file's suffix. Pillow reads more, some (EPS) by running another program."""
MAX_PIXELS = 64_000_000
"""Largest number of pixels of a picture. As RGB it takes three bytes a pixel, and several are decoded at once."""


@dataclass(frozen=True, slots=True)
class Origin:
    """An archive that files were unpacked from, into a folder that has another name each time."""

    folder: str
    sha256: str


@dataclass(frozen=True, slots=True)
class FileSplit:
    """Image files and labels. Worker processes decode the images; they are augmented and normalised on the device."""

    files: tuple[str, ...]
    """Resolved paths, N of them."""
    labels: Tensor
    """Labels from 0, int64 [N]."""
    mean: Tensor
    """Mean of the training split by channel, float32 [C], in 0 to 255."""
    std: Tensor
    """Standard deviation of the training split by channel, float32 [C], in 0 to 255."""
    classes: int
    channels: int
    image_size: int
    """Pixels a side of the images in a batch."""
    crop_and_flip: bool
    """True if training batches are randomly cropped and mirrored."""
    workers: int
    """Number of decoding processes; 0 decodes in the calling process."""
    origin: Origin | None = None
    """Archive that the files were unpacked from; None for files of the user."""
    decoders: Decoders = field(default_factory=Decoders, compare=False, repr=False)
    """The decoding processes, which the splits of one data set share."""

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
        samples = list(zip(self.files, self.labels.tolist(), strict=True))
        samples = [samples[index] for index in order]
        for images, labels in self.decoders.batches(
            _Decoder(self.channels, self.image_size),
            [samples[first : first + batch_size] for first in range(0, len(samples), batch_size)],
            workers=self.workers,
            pin_memory=device.type == "cuda",
        ):
            images = images.to(device, non_blocking=True)
            if draws is not None:
                images = draws.batch(start, start + len(images))(images)
            start += len(images)
            yield images.sub(mean).div_(std), labels.to(device, non_blocking=True)


@dataclass(frozen=True, slots=True)
class _Decoder:
    channels: int
    image_size: int

    def __call__(self, file: str) -> Tensor:
        return decode(file, self.channels, self.image_size)


def decode(file: str, channels: int, image_size: int) -> Tensor:
    """Decode a picture to uint8 [C, image_size, image_size], scaled by its shorter side and cropped to the middle.

    The orientation that a camera recorded is applied. Greys of 16 bits are scaled to 8 bits.

    Args:
        channels: 1 (grey) or 3 (RGB).

    Raises:
        DataError: the file is not a picture, is damaged, has more than ``MAX_PIXELS`` pixels, or has greys outside of
            0 to 65535.
    """
    with open_picture(file) as opened:
        picture = _eight_bits(_upright(opened), *_grey_range(opened)).convert("L" if channels == 1 else "RGB")
    fitted = ImageOps.fit(picture, (image_size, image_size), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(fitted)).view(image_size, image_size, channels).permute(2, 0, 1).contiguous()


def _upright(picture: Image.Image) -> Image.Image:
    """The picture as its EXIF orientation says; damaged EXIF data are ignored."""
    picture.load()  # A TIFF file is turned here.
    try:
        orientation = picture.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # Pillow's parser raises all kinds of exceptions.
        return picture
    return picture.transpose(_TRANSPOSES[orientation]) if orientation in _TRANSPOSES else picture


def _grey_range(picture: Image.Image) -> tuple[int, int]:
    """Values of black and white in a picture with greys of more than 8 bits.

    White is 4,095 in a TIFF file of 12 bits, else 65,535. In a TIFF file where white is zero, the two are exchanged.
    """
    tags = picture.tag_v2 if isinstance(picture, TiffImageFile) else {}
    largest = 2**12 - 1 if tags.get(_BITS_PER_SAMPLE) == (12,) else 2**16 - 1
    return (largest, 0) if tags.get(_PHOTOMETRIC) == 0 else (0, largest)


def _eight_bits(picture: Image.Image, black: int, white: int) -> Image.Image:
    """The picture with greys of 8 bits. Pillow's own conversion of wider greys clips them at 255.

    Mode I has 32 bits, of which PGM files use 16. Floats have no range to scale by.

    Raises:
        ValueError: the greys are not between ``black`` and ``white``, or are floats.
    """
    if picture.mode == "F":
        raise ValueError("it has floats, which have no range; save it with 8 or 16 bits")
    if not picture.mode.startswith("I"):
        return picture
    greys, largest = np.asarray(picture), max(black, white)
    if greys.min() < 0 or greys.max() > largest:
        raise ValueError(f"it has greys outside of 0 to {largest}; save it with 8 or 16 bits")
    return Image.fromarray(np.rint((greys - float(black)) * (255 / (white - black))).astype(np.uint8))


_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> operation that turns the picture upright."""
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262
"""Tags of a TIFF file."""


@contextmanager
def open_picture(file: str) -> Iterator[Image.Image]:
    """Open a picture without decoding its pixels. Errors inside the block become DataError.

    Args:
        file: a resolved path. A link that has replaced a part of it since is not followed.
    """
    try:
        with open_resolved(Path(file)) as stream, Image.open(stream, formats=FORMATS) as opened:
            if prod(opened.size) > MAX_PIXELS:
                raise ValueError(f"it has {opened.size[0]} x {opened.size[1]} pixels; at most {MAX_PIXELS:,} are read")
            yield opened
    except UnidentifiedImageError as error:
        raise DataError(
            f"{file} cannot be read as a picture: it is none of {', '.join(FORMATS)}", field="data.path"
        ) from error
    except Exception as error:  # Pillow's decoders raise all kinds of exceptions.
        raise DataError(f"{file} cannot be read as a picture: {error}", field="data.path") from error
