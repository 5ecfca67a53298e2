"""digits: 1,797 handwritten digits of 8x8 pixels, part of scikit-learn (UCI, Alpaydin and Kaynak 1998)."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from safs.data.arrays import Arrays, Outline, as_labelled
from safs.spec.data import DataSpec


def outline(spec: DataSpec, root: Path | None) -> Outline:
    return Outline(channels=1, image_size=8, classes=10, samples=1797, test_samples=None)


def read(spec: DataSpec, root: Path | None) -> Arrays:
    """Read the digits, their values 0 to 16 scaled to 0 to 255.

    The file is read as ``sklearn.datasets.load_digits`` reads it. That package takes a second to import, and 90 MB.
    """
    package = find_spec("sklearn")
    assert package is not None
    assert package.submodule_search_locations is not None
    file = Path(package.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"
    rows = np.loadtxt(file, delimiter=",", encoding="ascii")
    images = np.rint(rows[:, :-1].reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
    return Arrays(as_labelled(images, rows[:, -1].astype(np.int64)), None, classes=10, crop_and_flip=False)
