"""Uploaded data sets: what is unpacked, and how long; what must not be unpacked; fingerprints."""

from pathlib import Path

import numpy as np
import pytest

from safs.data import folder, inspect, load
from safs.data.picture_archive import unpack
from safs.data.uploaded import opened
from safs.errors import DataError
from safs.reuse.keys import fingerprint
from safs.spec.data import DataSpec
from tests.api.uploads.data_sets import folders, npz, picture, tarred, zipped

SPEC = DataSpec(dataset="upload", upload="upload_1")


def _file(folder: Path, content: bytes) -> Path:
    file = folder / "file"
    file.write_bytes(content)
    return file


def test_pictures_are_unpacked_while_the_data_set_is_open(tmp_path: Path) -> None:
    with opened(_file(tmp_path, zipped(folders(outer="photos/")))) as root:
        assert inspect(SPEC, root).classes == 2

    assert not root.exists()


@pytest.mark.parametrize(
    "files",
    [
        {"../class0/1.png": picture()},
        {"/class0/1.png": picture()},
        {"class0/../../1.png": picture()},
        {"class0\\..\\..\\1.png": picture()},
    ],
    ids=["up", "absolute", "up inside", "backslashes"],
)
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_names_that_lead_out_are_refused(tmp_path: Path, pack: object, files: dict[str, bytes]) -> None:
    assert callable(pack)
    with pytest.raises(DataError, match="leads out of it"):
        unpack(_file(tmp_path, pack(files)), tmp_path / "into")

    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "into"]


@pytest.mark.parametrize("content", [b"", b"no archive", zipped(folders())[:900], tarred(folders())[:300]])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError) as refused, opened(_file(tmp_path, content)) as root:
        inspect(SPEC, root)

    assert refused.value.field == "data.upload"


def test_pictures_that_stay_in_files_have_the_fingerprint_of_their_archive_wherever_they_are_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder.load, "__defaults__", (0, ()))  # no memory for images

    def prints(content: bytes) -> list[str]:
        with opened(_file(tmp_path, content)) as root:
            splits = load(SPEC, root=root, channels=3, image_size=12, seed=0)
            return [fingerprint(part) for part in (splits.train, splits.validation)]

    archive = zipped(folders())  # once: an archive holds the time at which it was written
    first, again, other = prints(archive), prints(archive), prints(tarred(folders()))

    assert first == again
    assert first[0] != first[1]
    assert first != other


def test_arrays_may_be_named_as_keras_names_them(tmp_path: Path) -> None:
    x, y = np.zeros((20, 8, 8), np.uint8), np.arange(20) % 2
    file = _file(tmp_path, npz(x_train=x, y_train=y, x_test=x[:4], y_test=y[:4]))

    with opened(file) as root:
        info = inspect(SPEC, root)

    assert (info.train + info.validation, info.test) == (20, 4)
