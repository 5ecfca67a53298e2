"""A few images of a data set as small PNG files, so that a person sees what the service reads."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SHOWN = 24
"""Largest number of images."""
LONGEST_SIDE = 64
"""Largest width and height of a shown image, in pixels; larger ones are reduced by averages of blocks."""

Images = NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Sample:
    """An image of the data set, reduced to at most ``LONGEST_SIDE`` pixels a side."""

    class_name: str
    png: str
    """PNG file in base64, in grey for one or two channels and in colour for more."""


class Samples:
    """Picks images of all classes while the images arrive in pieces.

    Args:
        labels: [N], the classes of the images in the order in which they arrive.
    """

    def __init__(self, labels: NDArray[np.int64]) -> None:
        self._labels = labels
        self._wanted = set(chosen(labels))
        self._seen = 0
        self._found: list[tuple[int, NDArray[np.float64]]] = []

    def add(self, images: Images) -> None:
        """Look at the next images [N, channels, height, width]."""
        for place in range(len(images)):
            if self._seen + place in self._wanted:
                self._found.append((int(self._labels[self._seen + place]), reduced(images[place])))
        self._seen += len(images)

    def pictures(self, names: Sequence[str], low: float, high: float) -> tuple[Sample, ...]:
        """The picked images, sorted by class. ``low`` becomes black and ``high`` white."""
        ordered = sorted(self._found, key=lambda found: found[0])
        return tuple(Sample(names[label], _png(image, low, high)) for label, image in ordered)


def chosen(labels: NDArray[np.int64], most: int = SHOWN) -> list[int]:
    """Places of at most ``most`` images: the same number of each class, or one each of evenly spread classes.

    >>> chosen(np.array([0, 0, 1, 0, 1, 2]), most=5)
    [0, 1, 2, 4, 5]
    """
    classes = np.unique(labels)
    if len(classes) > most:
        classes = classes[np.linspace(0, len(classes) - 1, most).astype(int)]
    turns = zip_longest(*(np.flatnonzero(labels == label)[:most].tolist() for label in classes))
    in_turns = [place for turn in turns for place in turn if place is not None]
    return sorted(in_turns[:most])


def reduced(image: Images) -> NDArray[np.float64]:
    """The image [channels, height, width] with at most ``LONGEST_SIDE`` pixels a side."""
    channels, *sides = image.shape
    step = -(-max(sides) // LONGEST_SIDE)
    across = [min(step, side) for side in sides]
    height, width = (side // one for side, one in zip(sides, across, strict=True))
    cut = image[:, : height * across[0], : width * across[1]].astype(np.float64)
    blocks: NDArray[np.float64] = cut.reshape(channels, height, across[0], width, across[1]).mean((2, 4))
    return blocks


def _png(image: NDArray[np.float64], low: float, high: float) -> str:
    scaled = 255 * (image - low) / ((high - low) or 1.0)
    pixels = scaled.round().clip(0, 255).astype(np.uint8)
    picture = Image.fromarray(pixels[0] if len(pixels) < 3 else np.ascontiguousarray(pixels[:3].transpose(1, 2, 0)))
    file = BytesIO()
    picture.save(file, "png")
    return base64.b64encode(file.getvalue()).decode()
