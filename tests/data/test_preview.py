"""The preview of a user's own data: what it says, and what it warns of; numpy works out the expected numbers."""

from base64 import b64decode
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from safs.data.preview import DataPreview, preview
from safs.data.samples import Sample
from safs.data.uploaded import opened
from safs.spec.data import DataSpec
from tests.api.uploads.data_sets import blobs, folders, npz, zipped

SPEC = DataSpec(dataset="upload", upload="upload_1")


def _preview(tmp_path: Path, content: bytes) -> DataPreview:
    (tmp_path / "file").write_bytes(content)
    with opened(tmp_path / "file") as root:
        found = preview(SPEC, root)
    assert found is not None
    return found


def _of(tmp_path: Path, **changed: Any) -> DataPreview:
    x, y = blobs()
    x_test, y_test = blobs(30, seed=1)
    return _preview(tmp_path, npz(**{"x": x, "y": y, "x_test": x_test, "y_test": y_test} | changed))


def test_arrays_are_described_and_nothing_is_warned_of(tmp_path: Path) -> None:
    x, _ = blobs()

    found = _of(tmp_path)

    assert (found.images, found.test_images, found.channels, found.height, found.width) == (60, 30, 1, 12, 12)
    assert (found.values, found.low, found.high) == ("uint8", x.min(), x.max())
    assert (found.mean, found.std) == pytest.approx((x.mean(), x.std()))
    assert [(one.name, one.train, one.test) for one in found.classes] == [("0", 20, 10), ("1", 20, 10), ("2", 20, 10)]
    assert found.warnings == ()


def test_the_pieces_that_arrays_are_read_in_make_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _of(tmp_path)
    monkeypatch.setattr("safs.data.npz.PIECE_BYTES", 1000)

    in_pieces = _of(tmp_path)
    by_column = _of(tmp_path, x=np.asfortranarray(blobs()[0]))
    channels_last = _of(tmp_path, x=blobs()[0].transpose(0, 2, 3, 1), x_test=blobs(30, seed=1)[0].transpose(0, 2, 3, 1))

    assert in_pieces == whole
    assert by_column.mean == pytest.approx(whole.mean)
    assert (channels_last.channels, channels_last.mean) == (1, pytest.approx(whole.mean))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"x": (blobs()[0].astype(np.float32) - 100) / 60}, "look normalised already"),
        ({"x": blobs()[0].astype(np.float32)}, "uint8 would take a part"),
        ({"x": blobs()[0] % 2}, "0 and 1 alone"),
        ({"x": np.full_like(blobs()[0], 7)}, "all pixels are 7"),
        (
            {"y": np.r_[blobs()[1][:-2], 3, 3], "y_test": np.r_[blobs(30)[1][:-1], 3]},
            "the class 3 (2) has fewer than 5 training images",
        ),
        ({"y_test": np.zeros(30, int)}, "no test image is of the classes 1, 2"),
        ({"x_test": blobs()[0][:30]}, "100% of the test images are nearly identical"),
        ({"x_test": blobs()[0][:30] + 1}, "100% of the test images are nearly identical"),
    ],
)
def test_probable_mistakes_are_warned_of(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    (warning,) = _of(tmp_path, **changed).warnings

    assert words in warning


def test_pictures_are_described_by_their_folders(tmp_path: Path) -> None:
    found = _preview(tmp_path, zipped(folders(each=3)))

    assert (found.images, found.test_images, found.channels, found.height) == (6, None, 3, 12)
    assert [(one.name, one.train) for one in found.classes] == [("class0", 3), ("class1", 3)]
    assert found.warnings[0] == (
        "the classes class0 (3), class1 (3) have fewer than 5 training images, too few to learn from and validate on."
    )


def opened_png(sample: Sample) -> NDArray[np.uint8]:
    return np.asarray(Image.open(BytesIO(b64decode(sample.png))))


def test_images_of_all_classes_are_shown_as_they_are(tmp_path: Path) -> None:
    x, y = blobs()

    found = _of(tmp_path).samples

    assert [one.class_name for one in found] == ["0"] * 8 + ["1"] * 8 + ["2"] * 8
    expected = [image[0] for label in range(3) for image in x[y == label][:8]]
    assert all((opened_png(one) == image).all() for one, image in zip(found, expected, strict=True))


def test_large_images_are_reduced_and_few_are_shown(tmp_path: Path) -> None:
    x = np.kron(blobs()[0], np.ones((1, 1, 20, 15), np.uint8)).repeat(3, axis=1)  # 240 x 180 pixels, in colour

    found = _of(tmp_path, x=x, y=np.arange(60), x_test=x, y_test=np.arange(60)).samples

    assert len({one.class_name for one in found}) == len(found) == 24
    assert {opened_png(one).shape for one in found} == {(60, 45, 3)}
    assert sum(len(one.png) for one in found) < 200_000


def test_floats_are_shown_from_the_smallest_to_the_largest(tmp_path: Path) -> None:
    x, _ = blobs()
    floats = (x.astype(np.float32) - 100) / 60

    shown = np.concatenate([opened_png(one).ravel() for one in _of(tmp_path, x=floats).samples])

    scaled = 255 * (floats - floats.min()) / (floats.max() - floats.min())  # the first 24 have 8 images of each class
    assert np.abs(np.sort(shown.astype(float)) - np.sort(scaled[:24].ravel())).max() <= 1


def test_pictures_are_shown_in_their_colours(tmp_path: Path) -> None:
    found = _preview(tmp_path, zipped(folders(each=3))).samples

    assert [one.class_name for one in found] == ["class0"] * 3 + ["class1"] * 3
    assert opened_png(found[4])[5, 5].tolist() == [91, 164, 40]


def test_data_sets_of_the_catalog_have_no_preview() -> None:
    assert preview(DataSpec(dataset="digits"), None) is None
