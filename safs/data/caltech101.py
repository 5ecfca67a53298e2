"""Caltech-101: 8,677 colour photographs of 101 kinds of objects, read from the unpacked archive.

Fei-Fei, Fergus, Perona, "Learning Generative Visual Models from Few Training Examples" (2004). The folder is that of
torchvision, ``caltech101/101_ObjectCategories/<class>/*.jpg`` under the data root, or ``101_ObjectCategories`` alone.
The pictures of ``BACKGROUND_Google`` show no object and are left out, as torchvision leaves them out. The published
archive has no splits, so all three are cut from the pictures. Nothing is downloaded.
"""

from pathlib import Path

from safs.data import folder
from safs.data.locations import required
from safs.data.split import DataInfo, Splits
from safs.errors import DataError
from safs.spec.data import DataSpec

PLACES = ("caltech101/101_ObjectCategories", "101_ObjectCategories")
BACKGROUND = "BACKGROUND_Google"


def inspect(spec: DataSpec, root: Path | None) -> DataInfo:
    """Sizes of the data set, from the names and headers of its files.

    Raises:
        DataError: the folder is missing or holds no pictures.
    """
    return folder.inspect(_at_its_folder(spec, root), root, left_out=(BACKGROUND,))


def load(spec: DataSpec, root: Path | None, channels: int, image_size: int, seed: int) -> Splits:
    """The three splits.

    Raises:
        DataError: as in ``inspect``.
    """
    return folder.load(_at_its_folder(spec, root), root, channels, image_size, seed, left_out=(BACKGROUND,))


def _at_its_folder(spec: DataSpec, root: Path | None) -> DataSpec:
    """``spec`` with the path of the class folders, as that of an image folder."""
    base = required(root, spec.dataset)
    for place in PLACES:
        if (base / place).is_dir():
            return spec.model_copy(update={"path": place})
    places = " or in ".join(str(base / place) for place in PLACES)
    raise DataError(
        f"dataset {spec.dataset!r} is not in {places}. Unpack the published archive 101_ObjectCategories.tar.gz there.",
        field="data.dataset",
    )
