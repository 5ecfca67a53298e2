"""digits: 1,797 handwritten digits of 8x8 pixels, part of scikit-learn (UCI, Alpaydin and Kaynak 1998)."""

from pathlib import Path

import numpy as np

from safs.data.arrays import Arrays, Outline, as_labelled
from safs.spec.job import DataSpec


def outline(spec: DataSpec, root: Path | None) -> Outline:
    return Outline(channels=1, image_size=8, classes=10, samples=1797, test_samples=None)


def read(spec: DataSpec, root: Path | None) -> Arrays:
    """Read the digits, their values 0 to 16 scaled to 0 to 255."""
    from sklearn.datasets import load_digits  # The import takes a second, and only this data set needs it.

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[:, None]
    return Arrays(as_labelled(images, digits.target), None, classes=10, crop_and_flip=False)
