"""Caltech-101 in the folder of its archive, with photographs as its files."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from safs.data import inspect, load
from safs.errors import DataError
from safs.spec.data import DataSpec

SPEC = DataSpec(dataset="caltech101")


def write(folder: Path, background: int = 5) -> None:
    """Crops of two photographs as two classes of JPEG files of several sizes, and a background."""
    for label, photograph, count in (
        ("dalmatian", "china.jpg", 12),
        ("water_lilly", "flower.jpg", 20),
        ("BACKGROUND_Google", "china.jpg", background),
    ):
        pixels = Image.fromarray(load_sample_image(photograph))
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            left, height = 10 * number, 200 + number
            picture = pixels.crop((left, number, left + 300, number + height))
            picture.save(folder / label / f"image_{number + 1:04}.jpg")


@pytest.mark.parametrize("place", ["caltech101/101_ObjectCategories", "101_ObjectCategories"])
def test_the_classes_are_the_folders_of_the_archive_without_the_background(place, tmp_path):
    write(tmp_path / place)

    info = inspect(SPEC, tmp_path)
    splits = load(SPEC, root=tmp_path, channels=3, image_size=32, seed=0)

    parts = (splits.train, splits.validation, splits.test)
    labels = torch.cat([next(part.batches(100, device=torch.device("cpu")))[1] for part in parts])
    assert (info.channels, info.classes, info.image_size) == (3, 2, 207)
    assert info.train + info.validation + info.test == len(labels) == 32
    assert torch.bincount(labels).tolist() == [12, 20]


def test_the_photographs_differ_by_class_after_decoding(tmp_path):
    write(tmp_path / "caltech101" / "101_ObjectCategories")

    splits = load(SPEC, root=tmp_path, channels=3, image_size=32, seed=0)

    images, labels = next(splits.train.batches(100, device=torch.device("cpu")))
    china, flower = images[labels == 0].mean((0, 2, 3)), images[labels == 1].mean((0, 2, 3))
    assert china[2] > flower[2] + 0.5  # The temple's photograph has much sky; the flower's is red and green.


def test_a_missing_archive_is_named_with_the_places_searched(tmp_path):
    with pytest.raises(DataError, match=r"101_ObjectCategories\.tar\.gz") as caught:
        inspect(SPEC, tmp_path)

    assert str(tmp_path / "caltech101" / "101_ObjectCategories") in caught.value.message
    assert caught.value.field == "data.dataset"
