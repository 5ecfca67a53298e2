"""MNIST and Fashion-MNIST: 28x28 grey images in four idx files, downloaded by torchvision if they are missing."""

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from safs.data.arrays import Arrays, Labelled, Outline, as_labelled
from safs.data.locations import missing, reachable, required
from safs.errors import DataError
from safs.spec.data import DataSpec

CLASSES = 10
_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@dataclass(frozen=True, slots=True)
class IdxDataset:
    """A data set in MNIST's file format, plain or gzipped."""

    torchvision_name: str
    """Name of torchvision's class that downloads the files to ``<name>/raw`` under the data root."""
    system_folder: Path | None = None
    """Folder where a system package installs the files; None if there is no such package."""
    hint: str = ""
    """Another way to get the files without a network, added to the error message."""

    def outline(self, spec: DataSpec, root: Path | None) -> Outline:
        folder = self._find(root)
        if folder is None:
            if not reachable(self._urls()):
                raise self._missing(spec, root)
            return Outline(channels=1, image_size=28, classes=CLASSES, samples=60_000, test_samples=10_000)
        samples, *size = _shape_of(_file(folder, _FILES[0]))
        return Outline(1, min(size), CLASSES, samples, _shape_of(_file(folder, _FILES[2]))[0])

    def read(self, spec: DataSpec, root: Path | None) -> Arrays:
        folder = self._find(root) or self._download(spec, root)
        images, labels, test_images, test_labels = (_read_idx(_file(folder, name)) for name in _FILES)
        samples, test = _labelled(images, labels, folder), _labelled(test_images, test_labels, folder)
        return Arrays(samples, test, CLASSES, crop_and_flip=False)

    def folders(self, root: Path | None) -> list[Path]:
        """Folders that may hold the files, in the order in which they are searched."""
        under_root = [] if root is None else [root / self.torchvision_name / "raw", root / self.torchvision_name]
        return under_root + ([] if self.system_folder is None else [self.system_folder])

    def _find(self, root: Path | None) -> Path | None:
        for folder in self.folders(root):
            if all(_file(folder, name).exists() for name in _FILES):
                return folder
        return None

    def _download(self, spec: DataSpec, root: Path | None) -> Path:
        try:
            self._torchvision()(str(required(root, spec.dataset)), download=True)
        except (RuntimeError, OSError) as error:
            raise self._missing(spec, root) from error
        folder = self._find(root)
        assert folder is not None
        return folder

    def _missing(self, spec: DataSpec, root: Path | None) -> DataError:
        looked_in = self.folders(required(root, spec.dataset))
        return missing(spec.dataset, looked_in, self._torchvision().mirrors, self.hint)

    def _urls(self) -> list[str]:
        published = self._torchvision()
        return [f"{mirror}{published.resources[0][0]}" for mirror in published.mirrors]

    def _torchvision(self) -> Any:
        from torchvision import datasets  # The import takes a second, and only a missing data set needs it.

        return getattr(datasets, self.torchvision_name)


def _labelled(images: NDArray[np.uint8], labels: NDArray[np.uint8], folder: Path) -> Labelled:
    if images.ndim != 3 or labels.shape != images.shape[:1] or labels.max(initial=0) >= CLASSES:
        raise DataError(
            f"the idx files in {folder} do not match: images {images.shape}, labels {labels.shape}, "
            f"largest label {labels.max(initial=0)}; labels must be 0 to {CLASSES - 1}, one for each image.",
            field="data.dataset",
        )
    return as_labelled(images[:, None], labels)


def _file(folder: Path, name: str) -> Path:
    """Path of the plain file if it exists, else of the gzipped one."""
    plain = folder / name
    return plain if plain.exists() else folder / f"{name}.gz"


def _shape_of(path: Path) -> tuple[int, ...]:
    with _open(path) as file:
        return _read_header(file, path)


def _read_idx(path: Path) -> NDArray[np.uint8]:
    """Read an idx file of unsigned bytes: magic 0, 0, 8, dimensions; then their sizes, big-endian; then the bytes."""
    with _open(path) as file:
        shape = _read_header(file, path)
        try:
            content = file.read()
        except (EOFError, OSError) as error:
            raise DataError(f"{path} is damaged: {error}.", field="data.dataset") from error
    if len(content) != int(np.prod(shape)):
        raise DataError(
            f"{path} has {len(content)} values, but its header says {shape}: it is truncated or not an idx file.",
            field="data.dataset",
        )
    return np.frombuffer(bytearray(content), dtype=np.uint8).reshape(shape)


def _read_header(file: BinaryIO, path: Path) -> tuple[int, ...]:
    try:
        magic = file.read(4)
        sizes = file.read(4 * magic[3]) if len(magic) == 4 else b""
    except (EOFError, OSError) as error:
        raise DataError(f"{path} is damaged: {error}.", field="data.dataset") from error
    if magic[:3] != b"\0\0\x08" or len(sizes) != 4 * magic[3] or not sizes:
        raise DataError(f"{path} is not an idx file of unsigned bytes.", field="data.dataset")
    return tuple(int(size) for size in np.frombuffer(sizes, dtype=">u4"))


def _open(path: Path) -> BinaryIO:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]  # GzipFile reads bytes
