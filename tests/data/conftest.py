"""Fixtures that write small real files in the layouts of the data sets."""

import gzip
import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets

from safs.spec.data import DataSpec

IDX_FILES = {"train-images-idx3-ubyte": 60, "t10k-images-idx3-ubyte": 20}


def _write_idx(path: Path, array: Any, *, zipped: bool) -> None:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">u4").tobytes()
    content = header + array.astype(np.uint8).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    if zipped:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(content))
    else:
        path.write_bytes(content)


def _write_mnist(folder: Path, *, zipped: bool = False) -> None:
    rng = np.random.default_rng(0)
    for name, samples in IDX_FILES.items():
        _write_idx(folder / name, rng.integers(0, 256, (samples, 28, 28)), zipped=zipped)
        labels = name.replace("images-idx3", "labels-idx1")
        _write_idx(folder / labels, np.arange(samples) % 10, zipped=zipped)


def _write_cifar(root: Path, published: type[datasets.CIFAR10], monkeypatch: pytest.MonkeyPatch) -> None:
    """Write 60 and 20 images, and replace the published checksums in torchvision by theirs."""
    folder = root / published.base_folder
    folder.mkdir(parents=True)
    fine = published is datasets.CIFAR100
    rng, classes, label_key = np.random.default_rng(0), 100 if fine else 10, "fine_labels" if fine else "labels"

    def write(name: str, content: dict[str, Any]) -> list[str]:
        (folder / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((folder / name).read_bytes()).hexdigest()]

    def batch(name: str, samples: int) -> list[str]:
        pixels = rng.integers(0, 256, (samples, 3072), dtype=np.uint8)
        return write(name, {"data": pixels, label_key: [number % classes for number in range(samples)]})

    names = {published.meta["key"]: [str(number) for number in range(classes)]}
    _, meta_md5 = write(published.meta["filename"], names)
    monkeypatch.setattr(published, "train_list", [batch("first", 30), batch("second", 30)])
    monkeypatch.setattr(published, "test_list", [batch("third", 20)])
    monkeypatch.setattr(published, "meta", published.meta | {"md5": meta_md5})


def _write_imagenet16(folder: Path, labels: Callable[[int], int]) -> None:
    """Write ten files of 6 training images and one of 20, with labels from 1, as Python 3 writes them."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in [*(f"train_data_batch_{number}" for number in range(1, 11)), "val_data"]:
        samples = 20 if name == "val_data" else 6
        content = {
            "data": rng.integers(0, 256, (samples, 768), dtype=np.uint8),
            "labels": [labels(number) for number in range(samples)],
            "mean": np.zeros(768),
        }
        (folder / name).write_bytes(pickle.dumps(content, protocol=3))


def _write_pictures(folder: Path, counts: dict[str, int], size: tuple[int, int] = (12, 16), mode: str = "RGB") -> None:
    """Write ``counts`` different PNG files of each class."""
    rng = np.random.default_rng(len(str(folder)))
    for label, samples in counts.items():
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(samples):
            shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
            pixels = rng.integers(0, 256, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number:03}.png")


@pytest.fixture
def write_idx() -> Callable[..., None]:
    return _write_idx


@pytest.fixture
def write_mnist() -> Callable[..., None]:
    return _write_mnist


@pytest.fixture
def write_pictures() -> Callable[..., None]:
    return _write_pictures


@pytest.fixture
def small_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], tuple[DataSpec, Path]]:
    """A function that writes small files for a named data set, and returns its spec and its root."""

    def make(name: str) -> tuple[DataSpec, Path]:
        match name:
            case "mnist":
                _write_mnist(tmp_path / "MNIST" / "raw")
            case "fashion_mnist":
                _write_mnist(tmp_path / "FashionMNIST" / "raw", zipped=True)
            case "cifar10":
                _write_cifar(tmp_path, datasets.CIFAR10, monkeypatch)
            case "cifar100":
                _write_cifar(tmp_path, datasets.CIFAR100, monkeypatch)
            case "imagenet16":
                _write_imagenet16(tmp_path / "ImageNet16", lambda number: 1 + 211 * (number % 5))
            case "imagenet16_120":  # Every second image is of an unused class.
                _write_imagenet16(tmp_path / "ImageNet16", lambda number: 500 if number % 2 else 20 * number + 1)
            case "caltech101":
                folder = tmp_path / "caltech101" / "101_ObjectCategories"
                _write_pictures(folder, {"accordion": 24, "airplanes": 16, "BACKGROUND_Google": 9})
            case "image_folder":
                _write_pictures(tmp_path / "mine", {"cat": 24, "dog": 16})
                return DataSpec(dataset=name, path="mine"), tmp_path
            case "upload":
                _write_pictures(tmp_path / "mine", {"cat": 24, "dog": 16})
                return DataSpec(dataset=name, upload="mine"), tmp_path / "mine"
            case "npz":
                rng = np.random.default_rng(0)
                x, y = rng.integers(0, 256, (50, 10, 10), dtype=np.uint8), np.arange(50) % 5
                np.savez(tmp_path / "mine.npz", x=x, y=y)
                return DataSpec(dataset=name, path="mine.npz"), tmp_path
        return DataSpec(dataset=name), tmp_path

    return make
