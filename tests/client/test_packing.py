"""Packing of a user's data: what comes out is what numpy reads as the data that went in."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, TensorDataset

from safs.client.errors import ServiceError
from safs.client.packing import packed
from tests.api.uploads.data_sets import blobs, folders


class Pairs(Dataset[tuple[Any, Any]]):
    """A data set of these (image, label)."""

    def __init__(self, *items: Any) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


def _arrays(data: Any) -> dict[str, np.ndarray[Any, Any]]:
    with packed(data) as file, np.load(file, allow_pickle=False) as opened:
        return dict(opened)


def test_arrays_come_out_as_they_went_in() -> None:
    (x, y), (x_test, y_test) = blobs(), blobs(9, seed=1)

    found = _arrays((x, y, x_test.astype(np.float32) / 255, y_test))

    assert list(found) == ["x", "y", "x_test", "y_test"]
    np.testing.assert_array_equal(found["x"], x)
    np.testing.assert_array_equal(found["x_test"], x_test.astype(np.float32) / 255)
    assert (found["x"].dtype, found["x_test"].dtype) == (np.uint8, np.float32)


def test_transposed_arrays_and_integers_from_0_to_255_are_packed_as_bytes_in_order() -> None:
    x, y = blobs()

    found = _arrays([x.astype(np.int64).transpose(0, 2, 3, 1), y])["x"]

    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, x.transpose(0, 2, 3, 1))


def test_tensors_are_packed_and_bfloat16_as_float32() -> None:
    x, y = (torch.from_numpy(array) for array in blobs())

    found = _arrays(((x / 255).bfloat16().requires_grad_(), y))

    assert found["x"].dtype == np.float32
    torch.testing.assert_close(torch.from_numpy(found["x"]), (x / 255).bfloat16().float())


def test_equal_data_are_packed_into_equal_bytes() -> None:
    with packed(blobs()) as first, packed(blobs()) as second:
        assert first.read_bytes() == second.read_bytes()


def test_data_sets_are_packed_for_training_and_test() -> None:
    x, y = blobs(6)
    train = TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    pictures = Pairs(*((Image.fromarray(image[0]), int(label)) for image, label in zip(x, y, strict=True)))

    both, alone = _arrays((train, pictures)), _arrays(train)

    np.testing.assert_array_equal(both["x"], x)
    np.testing.assert_array_equal(both["x_test"], x[:, 0])
    np.testing.assert_array_equal(both["y_test"], y)
    assert list(alone) == ["x", "y"]


def test_a_folder_becomes_an_archive_without_hidden_files(tmp_path: Path) -> None:
    for name, content in (folders() | {".cache/x": b"", "class0/.DS_Store": b""}).items():
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(content)

    with packed(tmp_path / "photos") as file, zipfile.ZipFile(file) as archive:
        assert file.name == "photos.zip"
        assert {info.filename: archive.read(info) for info in archive.infolist()} == folders()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("digits", r"give a path, arrays .* or a mapping such as \{'dataset': 'digits'\}"),
        ((np.zeros((2, 1, 8, 8)),), "is a tuple of 1"),
        (7, "is a int"),
        (Pairs((np.zeros((8, 8)), 0), (np.zeros((9, 8)), 1)), r"image 1 of the data set has shape \(9, 8\)"),
        (Pairs(np.zeros((8, 8))), "item 0 of the data set is a ndarray"),
        (Pairs(), "is empty"),
        ((np.array([None]), np.zeros(1)), "dtype object"),
    ],
)
def test_what_cannot_be_packed_is_named(data: Any, words: str) -> None:
    with pytest.raises(ServiceError, match=words) as refused, packed(data):
        pass

    assert refused.value.code == "invalid_data"
