"""Finds images that are nearly identical: small grey versions whose correlation is close to 1."""

import numpy as np
from numpy.typing import NDArray

SIDE = 8
"""Pixels a side of the small versions."""
SAME = 0.9995
"""Correlation of the small versions from which two images count as nearly identical."""
MOST_SEEN, MOST_TESTED = 100_000, 2_000
"""Largest numbers of training and test images that are compared."""


class Descriptors:
    """Small grey versions of images, centred and of length 1. Images of one value have none."""

    def __init__(self) -> None:
        self._rows: list[NDArray[np.float32]] = []

    def add(self, images: NDArray[np.generic]) -> None:
        """Add images [N, C, H, W]."""
        grey = images.astype(np.float32).mean(1)
        small = _pooled(_pooled(grey, 1), 2).reshape(len(grey), -1)
        centred = small - small.mean(1, keepdims=True)
        length = np.linalg.norm(centred, axis=1, keepdims=True)
        kept = length[:, 0] > 1e-6 * (1 + np.abs(small).max(1))
        self._rows.append((centred[kept] / length[kept]).astype(np.float32))

    def sample(self, most: int) -> NDArray[np.float32]:
        """Up to ``most`` of them, evenly spaced, [N, SIDE * SIDE] or fewer columns for smaller images."""
        rows = np.concatenate(self._rows) if self._rows else np.zeros((0, 1), np.float32)
        return rows[:: max(1, len(rows) // most)][:most]


def share_seen(tested: Descriptors, seen: Descriptors) -> float:
    """Share of the test images that are nearly identical to a training image; both are sampled if they are many."""
    test, train = tested.sample(MOST_TESTED), seen.sample(MOST_SEEN)
    if not len(test) or not len(train) or test.shape[1] != train.shape[1]:
        return 0.0
    best = np.full(len(test), -1.0, np.float32)
    for begin in range(0, len(train), 10_000):
        best = np.maximum(best, (test @ train[begin : begin + 10_000].T).max(1))
    return float((best >= SAME).mean())


def _pooled(images: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Means of ``SIDE`` bands along an axis, each at least one pixel wide."""
    size = images.shape[axis]
    edges = np.arange(min(SIDE, size)) * size // min(SIDE, size)
    widths = np.diff(np.append(edges, size)).astype(np.float32)
    shape = [1, 1, 1]
    shape[axis] = len(widths)
    return (np.add.reduceat(images, edges, axis) / widths.reshape(shape)).astype(np.float32)
