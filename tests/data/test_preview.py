"""The preview of a user's own data: what it says, and what it warns of; numpy works out the expected numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from safs.data.preview import DataPreview, preview
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


def test_data_sets_of_the_catalog_have_no_preview() -> None:
    assert preview(DataSpec(dataset="digits"), None) is None
