"""Tables of copies and poolings between layouts: int [outputs, 1 + inputs], positions of values in their channels."""

import numpy as np

from safs.deploy.sparse.lanes.layout import LANES, Lanes

Window = tuple[int, int]


def same_pixels(source: Lanes, target: Lanes) -> np.ndarray:
    """A copy of images into another layout."""
    return np.stack([target.positions(), source.positions()], -1)


def pooled(source: Lanes, target: Lanes, window: Window, stride: Window) -> np.ndarray:
    """Windows of images, without padding; [images, height, width, 1 + pixels of a window]."""
    read = source.positions()
    to_row = stride[0] * (target.height - 1) + 1
    to_column = stride[1] * (target.width - 1) + 1
    inputs = [
        read[:, row : row + to_row : stride[0], column : column + to_column : stride[1]]
        for row in range(window[0])
        for column in range(window[1])
    ]
    return np.stack([target.positions(), *inputs], -1)


def whole_vectors(table: np.ndarray, source: Lanes, target: Lanes) -> np.ndarray | None:
    """The part of a table of pixels that stands for whole vectors; None if lanes change."""
    if (target.down, target.across) != (source.down, source.across):
        return None
    first = table[0, : target.rows, : target.columns].reshape(-1, table.shape[-1])  # of the first lane
    every = np.concatenate([first + lane for lane in range(target.parts * target.images)])
    return first if np.array_equal(np.sort(every, 0), np.sort(table.reshape(every.shape), 0)) else None


def images_to(target: Lanes, channels: int) -> np.ndarray:
    """Images [images, channels, height, width] into lanes."""
    pixels = target.height * target.width
    read = np.arange(target.images)[:, None, None] * (channels * pixels)
    read = read + np.arange(pixels).reshape(target.height, target.width)
    return np.stack([target.positions(), read], -1).reshape(-1, 2)


def flattened(source: Lanes) -> np.ndarray:
    """Pixels as channels of one vector each, which has a lane for each image."""
    pixels = source.height * source.width
    write = np.arange(pixels) * LANES + np.arange(source.images)[:, None]
    return np.stack([write, source.positions().reshape(source.images, pixels)], -1).reshape(-1, 2)


def spread(source: Lanes, target: Lanes) -> np.ndarray:
    """One value of each image into a vector with that of its image in each lane of ``target``."""
    lanes = np.arange(target.parts * target.images)
    return np.stack([lanes, source.positions().reshape(-1)[lanes % target.images]], -1)


def logits(images: int, classes: int) -> np.ndarray:
    """Channels of one vector each into [images, classes]."""
    return np.stack([np.arange(images) * classes, np.arange(images)], -1)
