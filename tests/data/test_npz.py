"""npz: layouts that are read, and arrays that are refused."""

import numpy as np
import pytest

from safs.data import inspect, load
from safs.errors import DataError
from safs.spec.data import DataSpec

SPEC = DataSpec(dataset="npz", path="mine.npz")
LABELS = np.arange(40) % 4


@pytest.mark.parametrize(
    ("shape", "channels", "image_size"),
    [((40, 9, 11), 1, 9), ((40, 3, 9, 11), 3, 9), ((40, 9, 11, 3), 3, 9), ((40, 9, 9, 1), 1, 9)],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_images_in_every_documented_layout_are_read(tmp_path, shape, channels, image_size, dtype):
    np.savez_compressed(tmp_path / "mine.npz", x=np.random.default_rng(0).random(shape).astype(dtype), y=LABELS)

    info = inspect(SPEC, tmp_path)
    splits = load(SPEC, root=tmp_path, channels=channels, image_size=image_size, seed=0)

    assert (info.channels, info.image_size, info.classes) == (channels, image_size, 4)
    assert (info.train, info.validation, info.test) == (29, 3, 8)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (29, 3, 8)


def test_channels_last_and_channels_first_give_the_same_images(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (40, 3, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "first.npz", x=x, y=LABELS)
    np.savez(tmp_path / "last.npz", x=x.transpose(0, 2, 3, 1), y=LABELS)

    first, last = (
        load(DataSpec(dataset="npz", path=path), root=tmp_path, channels=3, image_size=8, seed=0).test
        for path in ("first.npz", "last.npz")
    )

    assert (first.images == last.images).all()


def test_x_test_and_y_test_are_the_test_split(tmp_path):
    x, x_test = np.zeros((40, 8, 8), np.uint8), np.full((7, 8, 8), 9, np.uint8)
    np.savez(tmp_path / "mine.npz", x=x, y=LABELS, x_test=x_test, y_test=np.arange(7) % 4)

    info = inspect(SPEC, tmp_path)
    splits = load(SPEC, root=tmp_path, channels=1, image_size=8, seed=0)

    assert (info.classes, info.train, info.validation, info.test) == (4, 36, 4, 7)
    assert splits.test.labels.tolist() == [0, 1, 2, 3, 0, 1, 2]


IMAGES = np.zeros((40, 8, 8), np.uint8)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": IMAGES}, "no array 'y'; it has x"),
        ({"y": LABELS}, "no array 'x'"),
        ({"x": IMAGES, "y": LABELS, "x_test": IMAGES}, "no array 'y_test'"),
        ({"x": IMAGES, "y": LABELS[:39]}, "must hold 40 integers"),
        ({"x": IMAGES, "y": LABELS.astype(float)}, "must hold 40 integers"),
        ({"x": IMAGES, "y": LABELS - 1}, "negative label -1"),
        ({"x": IMAGES, "y": LABELS * 1000}, "labels 0 to 3000, and no image has the labels 1, 2, 3, "),
        ({"x": IMAGES, "y": LABELS * 0}, "y has only the label 0"),
        ({"x": IMAGES.astype(int), "y": LABELS}, "x holds int64; images are uint8 or float"),
        ({"x": np.zeros((40, 64), np.uint8), "y": LABELS}, r"shape \(40, 64\)"),
        ({"x": np.zeros((40, 8, 8, 8), np.uint8), "y": LABELS}, r"shape \(40, 8, 8, 8\)"),
        ({"x": IMAGES[:0], "y": LABELS[:0]}, "is empty"),
        (
            {"x": IMAGES, "y": LABELS, "x_test": np.zeros((2, 9, 9), np.uint8), "y_test": LABELS[:2]},
            "x_test has others",
        ),
        ({"x": IMAGES.astype(object), "y": LABELS}, "x holds object"),
        ({"x": IMAGES, "y": LABELS.astype(object)}, "object arrays are not loaded"),
    ],
)
def test_malformed_arrays_are_refused_by_inspect(tmp_path, arrays, message):
    np.savez(tmp_path / "mine.npz", **arrays)

    with pytest.raises(DataError, match=message) as caught:
        inspect(SPEC, tmp_path)

    assert caught.value.field == "data.path"


def test_images_that_are_not_finite_are_refused(tmp_path):
    np.savez(tmp_path / "mine.npz", x=np.full((40, 8, 8), np.nan), y=LABELS)

    with pytest.raises(DataError, match="not finite"):
        load(SPEC, root=tmp_path, channels=1, image_size=8, seed=0)


@pytest.mark.parametrize("content", [b"", b"not a zip archive", b"PK\x03\x04 truncated"])
def test_a_file_that_is_not_an_archive_is_refused(tmp_path, content):
    (tmp_path / "mine.npz").write_bytes(content)

    with pytest.raises(DataError, match="not a readable numpy archive"):
        inspect(SPEC, tmp_path)
