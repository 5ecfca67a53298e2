"""Malicious files under the data root: each is refused with a reason, and no link is followed."""

import os
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from safs.data import inspect, load
from safs.data.file_split import decode
from safs.data.locations import open_resolved
from safs.data.npz import MAX_BYTES
from safs.errors import DataError
from safs.spec.data import DataSpec

NPZ = DataSpec(dataset="npz", path="mine.npz")
FOLDER = DataSpec(dataset="image_folder", path="mine")


def _npy(shape: tuple[int, ...], dtype: str = "|u1") -> bytes:
    """The header of an array without its content."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def _archive(path: Path, x: bytes, y: bytes, **options: int) -> None:
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.writestr("x.npy", x)
        archive.writestr("y.npy", y)


def _with_announced_size(path: Path, size: int) -> None:
    """Write wrong sizes of all members into the archive's directory."""
    content = bytearray(path.read_bytes())
    place = 0
    while (place := content.find(b"PK\x01\x02", place)) >= 0:
        content[place + 24 : place + 28] = struct.pack("<I", size)
        place += 4
    path.write_bytes(content)


GOOD_Y = _npy((4,), "<i8") + bytes(32)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (_npy((10**6, 1000, 1000)), GOOD_Y, "needs 1000000000"),
        (_npy((10**15, 8, 8)) + bytes(256), GOOD_Y, "the archive has"),
        (_npy((2**62, 2**62, 2**62)), GOOD_Y, "the archive has"),
        (_npy((-4, 8, 8)) + bytes(256), GOOD_Y, "shape"),
        (_npy((4, 8, 8)) + bytes(256), _npy((10**12,), "<i8"), "needs 8000000000"),
        (_npy((4, 8, 8)) + bytes(255), GOOD_Y, "the archive has"),
        (_npy((4, 8, 8), "|O") + bytes(256), GOOD_Y, "object arrays are not loaded"),
        (_npy((4, 8, 8)) + bytes(256), _npy((4,), "|O") + b"\x80\x02.", "object arrays are not loaded"),
        (b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65_535, GOOD_Y, "not a readable numpy archive"),
        (b"\x93NUMPY\x01\x00\x10\x00" + b"__import__('os')", GOOD_Y, "not a readable numpy archive"),
        (b"MZ" * 99, GOOD_Y, "not a readable numpy archive"),
    ],
)
def test_headers_that_do_not_match_their_content_are_refused_before_memory_is_allocated(
    tmp_path: Path, x: bytes, y: bytes, words: str
) -> None:
    _archive(tmp_path / "mine.npz", x, y)

    with pytest.raises(DataError, match=words):
        inspect(NPZ, tmp_path)


def test_an_archive_that_unpacks_to_more_than_the_limit_is_refused(tmp_path: Path) -> None:
    side = 30_000
    with zipfile.ZipFile(tmp_path / "mine.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("x.npy", "w", force_zip64=True) as member:
            member.write(_npy((10, side, side)))
        archive.writestr("y.npy", GOOD_Y)
    size = len(_npy((10, side, side))) + 10 * side**2
    assert size > MAX_BYTES
    content = bytearray((tmp_path / "mine.npz").read_bytes())
    place = content.find(b"PK\x01\x02")
    extra = struct.pack("<HHQ", 1, 8, size)  # A size of 64 bits goes into an extra field.
    content[place + 24 : place + 28] = b"\xff\xff\xff\xff"
    content[place + 30 : place + 32] = struct.pack("<H", len(extra))
    content[place + 46 + 5 : place + 46 + 5] = extra
    end = content.find(b"PK\x05\x06")
    content[end + 12 : end + 16] = struct.pack("<I", end - place)
    (tmp_path / "mine.npz").write_bytes(content)

    with pytest.raises(DataError, match=r"at most 8,589,934,592"):
        inspect(NPZ, tmp_path)


def test_an_archive_with_wrong_sizes_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", x=np.zeros((40, 8, 8), np.uint8), y=np.arange(40) % 4)
    _with_announced_size(tmp_path / "mine.npz", 77)

    with pytest.raises(DataError, match=r"Bad CRC|the archive has 77"):
        inspect(NPZ, tmp_path)


@pytest.mark.parametrize("place", [30, 60, 200, 3000])
def test_an_archive_with_a_damaged_byte_is_refused_or_read(tmp_path: Path, place: int) -> None:
    x = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    np.savez_compressed(tmp_path / "mine.npz", x=x, y=np.arange(40) % 4)
    content = bytearray((tmp_path / "mine.npz").read_bytes())
    content[place % len(content)] ^= 0x55
    (tmp_path / "mine.npz").write_bytes(content)

    try:
        load(NPZ, root=tmp_path, channels=1, image_size=8, seed=0)
    except DataError as error:
        assert error.field == "data.path"  # noqa: PT017  # a readable archive is right, too


@pytest.mark.parametrize("dataset", ["npz", "image_folder"])
@pytest.mark.parametrize(
    "path", ["../mine.npz", "a/../../mine.npz", "/etc/passwd", "a\0b", "a" * 300, "a/" * 3000, "\ud800", "circle"]
)
def test_paths_out_of_the_root_and_unusable_paths_are_refused(tmp_path: Path, dataset: str, path: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "mine.npz").write_bytes(b"")
    (root / "circle").symlink_to(root / "circle")

    with pytest.raises(DataError) as caught:
        inspect(DataSpec.model_construct(dataset=dataset, path=path), root)

    assert caught.value.field == "data.path"


def test_a_pipe_or_a_device_instead_of_a_file_is_refused_without_blocking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "mine.npz")

    with pytest.raises(DataError, match="not a regular file"):
        inspect(NPZ, tmp_path)
    with pytest.raises(OSError, match="not a regular file"):
        open_resolved(Path("/dev/zero"))


def test_a_link_that_replaces_a_file_after_the_check_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "root" / "a").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "picture.png").write_bytes(b"secret")
    checked = tmp_path.resolve() / "root" / "a" / "picture.png"

    checked.symlink_to(tmp_path / "secret" / "picture.png")
    with pytest.raises(OSError, match="symbolic links"):
        open_resolved(checked)

    checked.unlink()
    checked.parent.rmdir()
    checked.parent.symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match=r"directory|symbolic links"):
        open_resolved(checked)
    with pytest.raises(DataError, match="cannot be read as a picture"):
        decode(str(checked), channels=3, image_size=8)


def test_links_that_stay_under_the_root_are_read(tmp_path: Path, write_pictures) -> None:
    write_pictures(tmp_path / "stored", {"a": 6, "b": 6})
    (tmp_path / "mine").symlink_to(tmp_path / "stored")
    (tmp_path / "stored" / "c").mkdir()
    for number in range(6):
        (tmp_path / "stored" / "c" / f"{number}.png").symlink_to(tmp_path / "stored" / "a" / "000.png")

    splits = load(FOLDER, root=tmp_path, channels=3, image_size=8, seed=0)

    assert splits.classes == 3


def _png(width: int, height: int) -> bytes:
    """A PNG file of the given size without pixel data."""
    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", size), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


@pytest.mark.parametrize(("width", "height"), [(100_000, 100_000), (2**31 - 1, 2**31 - 1), (8001, 8001)])
@pytest.mark.filterwarnings("default")
def test_an_oversized_picture_is_refused_before_it_is_decoded(
    tmp_path: Path, write_pictures, width: int, height: int
) -> None:
    write_pictures(tmp_path / "mine", {"a": 6, "b": 6})
    (tmp_path / "mine" / "a" / "000.png").write_bytes(_png(width, height))

    with pytest.raises(DataError, match=r"cannot be read as a picture: .*(pixels|large)"):
        inspect(FOLDER, tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(%pipe%touch /tmp/x) (w) file\n",
        b"\x89PNG\r\n\x1a\n",
        _png(0, 0),
        b"GIF89a\x08\x00\x08\x00\x00\x00\x00;",
        b"II*\x00\xff\xff\xff\xff",
        b"P6 9999999999 9999999999 255\n",
    ],
    ids=["a program in PostScript", "truncated PNG", "PNG of size 0", "GIF", "TIFF", "PPM"],
)
def test_files_of_other_formats_with_a_pictures_suffix_are_refused(
    tmp_path: Path, write_pictures, content: bytes
) -> None:
    write_pictures(tmp_path / "mine", {"a": 6, "b": 6})
    (tmp_path / "mine" / "a" / "000.png").write_bytes(content)

    with pytest.raises(DataError, match="cannot be read as a picture"):
        load(FOLDER, root=tmp_path, channels=3, image_size=8, seed=0)


def test_postscript_is_refused_although_pillow_can_read_it(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "picture.eps")
    (tmp_path / "picture.eps").rename(tmp_path / "picture.png")

    with pytest.raises(DataError, match="none of JPEG, PNG"):
        decode(str(tmp_path / "picture.png"), channels=3, image_size=8)
