"""Activations in the layout of the sparse convolution: channel-major, with shared zero padding.

A channel is one vector: ``pad`` zeros follow each row of ``columns`` pixels, ``pad`` rows of zeros follow the ``rows``
rows of each image, and ``guard`` zeros are at both ends. A shift by up to ``pad`` rows and columns then reads a pixel
or a zero.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from safs.deploy.sparse.kernel import LANES, TILES


@dataclass(frozen=True)
class Geometry:
    """Sizes of the layout. Derived sizes are computed once, since small batches are dominated by such work."""

    images: int
    rows: int
    columns: int
    pad: int
    height: int
    """Rows of an image that hold pixels; the others are zeros."""
    width: int
    """Columns of an image that hold pixels; the others are zeros."""

    @cached_property
    def pitch(self) -> int:
        """Distance of two rows."""
        return self.columns + self.pad

    @cached_property
    def plane(self) -> int:
        """Distance of two images."""
        return (self.rows + self.pad) * self.pitch

    @cached_property
    def guard(self) -> int:
        """Zeros before the first and after the last image."""
        return _up(self.pad * (self.pitch + 1), LANES)

    @cached_property
    def stride(self) -> int:
        """Distance of two channels."""
        return self.guard + _up(self.images * self.plane, TILES[0]) + self.guard + LANES

    @cached_property
    def length(self) -> int:
        """Values from the first pixel to the last."""
        return (self.images - 1) * self.plane + (self.height - 1) * self.pitch + self.width

    @cached_property
    def tile(self) -> int:
        """The tile that computes the fewest vectors; each tile costs about one more."""
        return min(TILES, key=lambda tile: -(-self.length // tile) * (tile // LANES + 1))

    @cached_property
    def tiles(self) -> int:
        """Number of tiles."""
        return -(-self.length // self.tile)


@dataclass(frozen=True, slots=True)
class Planes:
    """Activations of a batch."""

    data: Tensor
    """float32 [channels, ``geometry.stride``]; exactly 0 where there is no pixel."""
    geometry: Geometry


class Memory:
    """Memory of values that are no longer needed, by size. The system's is slow to get: it is zeroed page by page."""

    def __init__(self) -> None:
        self._free: dict[tuple[int, Geometry], list[Tensor]] = {}

    def take(self, channels: int, geometry: Geometry) -> Tensor:
        """Memory as ``empty`` gives it."""
        free = self._free.get((channels, geometry))
        return free.pop() if free else empty(channels, geometry)

    def give_back(self, planes: Planes) -> None:
        """Let other values use the memory of ``planes``."""
        self._free.setdefault((len(planes.data), planes.geometry), []).append(planes.data)


def empty(channels: int, geometry: Geometry) -> Tensor:
    """Memory for ``Planes``, with zeros where no convolution writes."""
    data = torch.empty(channels, geometry.stride)
    data[:, : geometry.guard] = 0
    data[:, geometry.guard + geometry.tiles * geometry.tile :] = 0
    return data


def view(data: Tensor, geometry: Geometry) -> Tensor:
    """The pixels [channels, images, height, width] in memory of ``Planes``."""
    g = geometry
    images = data[:, g.guard : g.guard + g.images * g.plane].view(len(data), g.images, g.rows + g.pad, g.pitch)
    return images[:, :, : g.height, : g.width]


def to_planes(images: Tensor, pad: int) -> Planes:
    """[batch, channels, height, width] in the layout."""
    count, channels, height, width = images.shape
    geometry = Geometry(count, height, width, pad, height, width)
    data = torch.zeros(channels, geometry.stride)
    view(data, geometry).copy_(images.transpose(0, 1))
    return Planes(data, geometry)


def to_images(planes: Planes) -> Tensor:
    """[batch, channels, height, width], contiguous."""
    return view(planes.data, planes.geometry).transpose(0, 1).contiguous()


def phases(pixels: Tensor, step: int, wanted: tuple[tuple[int, int], ...], pad: int) -> Planes:
    """Every ``step``-th row and column, from each of the ``wanted`` starts, as channels one after the other.

    Args:
        pixels: [channels, images, height, width]; height and width are multiples of ``step``.
        wanted: (first row, first column) of each phase.
    """
    channels, count, height, width = pixels.shape
    geometry = Geometry(count, height // step, width // step, pad, height // step, width // step)
    data = torch.zeros(len(wanted) * channels, geometry.stride)
    target = view(data, geometry)
    for number, (row, column) in enumerate(wanted):
        target[number * channels : (number + 1) * channels].copy_(pixels[:, :, row::step, column::step])
    return Planes(data, geometry)


@lru_cache(maxsize=256)
def pixel_mask(geometry: Geometry, value: float = 1.0) -> Tensor:
    """float32 [``geometry.stride``]: ``value`` where there is a pixel, else 0."""
    mask = torch.zeros(1, geometry.stride)
    view(mask, geometry).fill_(value)
    return mask[0]


def _up(value: int, step: int) -> int:
    return -(-value // step) * step
