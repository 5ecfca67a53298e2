"""Activations as vectors of 16 lanes, one a pixel; the lanes are images, or parts of images.

A batch of 16 images has one image in each lane. A single image is divided into a grid of 4 x 4 parts of equal size, and
each lane has one part; other batches have some of both. A pixel of a channel is then one aligned vector, and a tap of a
kernel is the vector of another pixel. Each part has ``pad`` pixels of its neighbours, or zeros, on all sides.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

LANES = 16
VECTOR_BYTES = 4 * LANES


@dataclass(frozen=True)
class Lanes:
    """Sizes of the layout of one channel."""

    images: int
    """Images at once: 1, 2, 4, 8, or 16."""
    down: int
    """Parts of an image below each other."""
    across: int
    """Parts of an image beside each other; at most 16 / ``images`` / ``down``."""
    rows: int
    """Rows of a part, without padding."""
    columns: int
    """Columns of a part, without padding."""
    pad: int

    @property
    def height(self) -> int:
        """Rows of an image."""
        return self.down * self.rows

    @property
    def width(self) -> int:
        """Columns of an image."""
        return self.across * self.columns

    @property
    def parts(self) -> int:
        """Parts of an image."""
        return self.down * self.across

    @cached_property
    def pitch(self) -> int:
        """Distance of two rows, in vectors."""
        return self.columns + 2 * self.pad

    @cached_property
    def vectors(self) -> int:
        """Vectors of a channel."""
        return (self.rows + 2 * self.pad) * self.pitch

    @property
    def channel_bytes(self) -> int:
        """Distance of two channels."""
        return self.vectors * VECTOR_BYTES

    @property
    def first_byte(self) -> int:
        """Distance of the first pixel from the begin of its channel."""
        return VECTOR_BYTES * (self.pad * self.pitch + self.pad)

    def positions(self) -> np.ndarray:
        """int64 [images, height, width]: the position of each pixel in its channel, in values."""
        image, row, column = np.ogrid[: self.images, : self.height, : self.width]
        lane = (row // self.rows * self.across + column // self.columns) * self.images + image
        vector = (self.pad + row % self.rows) * self.pitch + self.pad + column % self.columns
        return np.asarray(vector * LANES + lane)


def lanes_for(images: int, height: int, width: int, pad: int) -> Lanes:
    """The layout with the most parts that images of this size can be divided into."""
    available = LANES // images
    grids = [
        (down, across)
        for down in (1, 2, 4)
        for across in (1, 2, 4)
        if down * across <= available and height % down == 0 and width % across == 0
    ]
    down, across = max(grids, key=lambda grid: (grid[0] * grid[1], -abs(grid[0] - grid[1])))
    return Lanes(images, down, across, height // down, width // across, pad)


@lru_cache(maxsize=256)
def borders(lanes: Lanes) -> tuple[np.ndarray, np.ndarray]:
    """Copies that fill the padding of a channel from its pixels: ``copies`` and ``masks``.

    ``copies`` (int32 [vectors, 3], in bytes) has the position of a vector of padding, the position of the vector that
    it is copied from, moved by some lanes, and the position of its mask in ``masks``. ``masks`` (int32 [masks, 16]) has
    -1 for lanes with a neighbour, and 0 for those with zeros.
    """
    copies: list[tuple[int, int, int]] = []
    masks: dict[tuple[int, ...], int] = {}
    for row in range(-lanes.pad, lanes.rows + lanes.pad):
        for column in range(-lanes.pad, lanes.columns + lanes.pad):
            below, right = row // lanes.rows, column // lanes.columns
            if (below, right) == (0, 0):
                continue
            mask = [0] * LANES
            for lane in range(lanes.parts * lanes.images):
                part_row, part_column = divmod(lane // lanes.images, lanes.across)
                inside = 0 <= part_row + below < lanes.down and 0 <= part_column + right < lanes.across
                mask[lane] = -1 if inside else 0
            moved = (below * lanes.across + right) * lanes.images if any(mask) else 0
            read = _byte(lanes, row % lanes.rows, column % lanes.columns) + 4 * moved
            place = masks.setdefault(tuple(mask), VECTOR_BYTES * len(masks))
            copies.append((_byte(lanes, row, column), read, place))
    return np.array(copies, np.int32).reshape(-1, 3), np.array(list(masks), np.int32).reshape(-1, LANES)


def _byte(lanes: Lanes, row: int, column: int) -> int:
    return VECTOR_BYTES * ((lanes.pad + row) * lanes.pitch + lanes.pad + column)
