"""Greys of 16 bits, and training images that hold nothing to learn from."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from safs.data import inspect, load
from safs.data.file_split import decode
from safs.errors import DataError
from safs.events.kinds import Note
from safs.execution.serial import SerialExecutor
from safs.pipeline.run import run_job
from safs.spec.data import DataSpec
from safs.spec.job import JobSpec
from search_spaces import SPACES
from tests.pipeline.jobs import TINY

VALUES = np.array([[0, 257, 12_850], [32_896, 40_000, 65_535], [128, 129, 65_407]], np.uint16)
GREYS = [[0, 1, 50], [128, 156, 255], [0, 1, 255]]
"""``VALUES`` divided by 257, which is 65,535 / 255, and rounded."""


def write(path: Path, mode: str) -> Path:
    pixels = VALUES if mode == "I;16" else VALUES.astype(np.int32)
    Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize(
    ("suffix", "mode"), [("png", "I;16"), ("tif", "I;16"), ("tif", "I"), ("pgm", "I;16"), ("pgm", "I")]
)
def test_greys_of_16_bits_are_scaled_to_8_bits(tmp_path: Path, suffix: str, mode: str) -> None:
    path = write(tmp_path / f"grey.{suffix}", mode)

    grey, colour = (decode(str(path), channels, image_size=3) for channels in (1, 3))

    assert grey[0].tolist() == GREYS
    assert [plane.tolist() for plane in colour] == [GREYS] * 3


def tiff(order: str, size: int, bits: int, content: bytes, photometric: int = 1) -> bytes:
    """A TIFF file with a square grey picture, written by hand.

    Args:
        order: byte order, as struct writes it.
        photometric: 1 if black is zero, 0 if white is zero.
    """
    short, shift = 3, 16 if order == ">" else 0
    numbers = {256: size, 257: size, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: size, 279: len(content)}
    entries = b"".join(struct.pack(f"{order}HHII", tag, short, 1, value << shift) for tag, value in numbers.items())
    start = (b"MM" if order == ">" else b"II") + struct.pack(f"{order}HI", 42, 8 + len(content))
    return start + content + struct.pack(f"{order}H", len(numbers)) + entries + bytes(4)


def test_big_endian_greys_of_16_bits_are_scaled(tmp_path: Path) -> None:
    (tmp_path / "grey.tif").write_bytes(tiff(">", 3, 16, VALUES.astype(">u2").tobytes()))

    assert decode(str(tmp_path / "grey.tif"), 1, image_size=3)[0].tolist() == GREYS


def test_greys_of_12_bits_are_scaled_by_their_own_range(tmp_path: Path) -> None:
    packed = bytes.fromhex("000fff" + "800010")  # Two values of 12 bits in three bytes: 0, 4095; 2048, 16.
    (tmp_path / "grey.tif").write_bytes(tiff("<", 2, 12, packed))

    assert decode(str(tmp_path / "grey.tif"), 1, image_size=2)[0].tolist() == [[0, 255], [128, 1]]


def test_greys_of_16_bits_where_white_is_zero_are_inverted(tmp_path: Path) -> None:
    (tmp_path / "grey.tif").write_bytes(tiff("<", 3, 16, (65_535 - VALUES).astype("<u2").tobytes(), photometric=0))

    assert decode(str(tmp_path / "grey.tif"), 1, image_size=3)[0].tolist() == GREYS


@pytest.mark.parametrize("pixels", [np.full((4, 4), 70_000, np.int32), np.full((4, 4), -1, np.int32)])
def test_integers_beyond_16_bits_are_refused(tmp_path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(tmp_path / "grey.tif")

    with pytest.raises(DataError, match=r"grey\.tif .*outside of 0 to 65535"):
        decode(str(tmp_path / "grey.tif"), 1, 4)


def test_floats_are_refused_since_they_have_no_range(tmp_path: Path) -> None:
    Image.fromarray(np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)).save(tmp_path / "grey.tif")

    with pytest.raises(DataError, match=r"grey\.tif .*floats, which have no range"):
        decode(str(tmp_path / "grey.tif"), 1, 4)


def test_folders_of_16_bit_greys_have_one_channel_and_keep_their_contrast(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label in "ab":
        (tmp_path / "mine" / label).mkdir(parents=True)
        for number in range(8):
            pixels = rng.integers(0, 65_536, (12, 12), dtype=np.uint16)
            Image.fromarray(pixels).save(tmp_path / "mine" / label / f"{number}.png")
    spec = DataSpec(dataset="image_folder", path="mine")

    splits = load(spec, root=tmp_path, channels=1, image_size=12, seed=0)

    assert inspect(spec, tmp_path).channels == 1
    assert len(splits.train.images.unique()) > 200
    assert splits.notes == ()


@pytest.mark.parametrize(
    ("images", "note"),
    [
        (np.full((40, 8, 8), 255, np.uint8), "all pixels of the training images are 255"),
        (np.full((40, 8, 8), 0.5, np.float32), "all pixels of the training images are 0.5"),
        (np.tile(np.arange(64, dtype=np.uint8).reshape(1, 8, 8), (40, 1, 1)), "all training images are equal"),
    ],
)
def test_training_images_without_a_difference_are_noted(tmp_path: Path, images: np.ndarray, note: str) -> None:
    np.savez(tmp_path / "mine.npz", x=images, y=np.arange(40) % 4)

    splits = load(DataSpec(dataset="npz", path="mine.npz"), root=tmp_path, channels=1, image_size=8, seed=0)

    assert [note in one for one in splits.notes] == [True]


def test_a_job_reports_that_its_training_images_are_equal(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", x=np.zeros((40, 28, 28), np.uint8), y=np.arange(40) % 4)
    spec = JobSpec.model_validate(TINY | {"data": {"dataset": "npz", "path": "mine.npz", "batch_size": 16}})
    events: list[object] = []

    torch.manual_seed(0)
    run_job(
        spec,
        spaces=SPACES,
        executor=SerialExecutor("cpu"),
        report=events.append,
        data_root=tmp_path,
        dense_weights=None,
        out_dir=tmp_path / "out",
    )

    warnings = [event.message for event in events if isinstance(event, Note) and event.level == "warning"]
    assert any("all pixels of the training images are 0" in message for message in warnings)
