"""Hostile archives, each with the words that its refusal must hold. All are made here; none is a file of somebody."""

import gzip
import io
import stat
import tarfile
import zipfile
import zlib
from struct import pack, unpack
from typing import Any

import numpy as np

from tests.api.uploads.corpus import Hostile
from tests.api.uploads.data_sets import blobs, folders, npz, parts, picture, tarred, zipped

PICTURES = folders()
GOOD_ZIP, GOOD_TAR, GOOD_NPZ = zipped(PICTURES), tarred(PICTURES, "w"), parts()


def hostile_archives() -> dict[str, Hostile]:
    """Name -> content and words of the refusal."""
    return {**_names(), **_zips(), **_directories(), **_tars(), **_arrays(), **_bombs(), **_others()}


def _with(name: str) -> dict[str, bytes]:
    return PICTURES | {name: picture()}


def _names() -> dict[str, Hostile]:
    names = {
        "up": ("../evil.png", "'..'"),
        "up inside": ("class0/../../evil.png", "'..'"),
        "absolute": ("/etc/evil.png", "relative paths"),
        "with a drive": ("C:/evil.png", "drives"),
        "with backslashes": ("class0\\..\\..\\evil.png", "drives"),
        "empty parts": ("class0//evil.png", "relative paths"),
        "a dot": ("class0/./evil.png", "relative paths"),
        "a control character": ("class0/\x1b[2Jevil.png", "printable"),
        "a right-to-left mark": ("class0/\u202egnp.exe.png", "printable"),
        "too deep": ("a/" * 30 + "evil.png", "12 parts"),
        "too long": ("class0/" + "x" * 300 + ".png", "255 bytes"),
        "a file that is a folder": ("class0", "as a file and as a folder"),
        "a file below a file": ("class0/1.png/evil.png", "as a file and as a folder"),
    }
    found = {f"zip: name {what}": (zipped(_with(name)), words) for what, (name, words) in names.items()}
    found |= {f"tar: name {what}": (tarred(_with(name), "w"), words) for what, (name, words) in names.items()}
    found["zip: name with NUL"] = (GOOD_ZIP.replace(b"class0/1.png", b"class0/\0.png"), "printable")
    found["zip: name that is not UTF-8"] = (
        zipped({"klasse0/ä.png": picture()}).replace("ä".encode(), b"\xff\xfe"),
        "not UTF-8",
    )
    found["zip: a name twice"] = (_twice(), "twice")
    return found


def _twice() -> bytes:
    return zipped({"class0/1.png": picture(), "class0/2.png": picture()}).replace(b"class0/2.png", b"class0/1.png")


def _patched(content: bytes, begin: int, new: bytes) -> bytes:
    return content[:begin] + new + content[begin + len(new) :]


def _zips() -> dict[str, Hostile]:
    central, end = GOOD_ZIP.index(b"PK\x01\x02"), GOOD_ZIP.rindex(b"PK\x05\x06")
    link = zipfile.ZipInfo("class0/link.png")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with_link = io.BytesIO()
    with zipfile.ZipFile(with_link, "w") as archive:
        archive.writestr(link, picture())
    return {
        "zip: empty": (zipped({}), "is empty"),
        "zip: truncated in a member": (GOOD_ZIP[:60], "truncated"),
        "zip: truncated in the directory": (GOOD_ZIP[: central + 30], "truncated"),
        "zip: without its end": (GOOD_ZIP[:end], "truncated"),
        "zip: more bytes": (GOOD_ZIP + b"\0", "followed by other bytes"),
        "zip: two in one": (GOOD_ZIP * 2, "followed by other bytes"),
        "zip: bytes before it": (b"MZ" + GOOD_ZIP, "the limit is"),
        "zip: a symbolic link": (with_link.getvalue(), "link or a device"),
        "zip: encrypted": (_patched(GOOD_ZIP, 6, b"\1\0"), "encrypted"),
        "zip: another compression": (zipped(PICTURES, zipfile.ZIP_LZMA), "method 14"),
        "zip: bzip2": (zipped(PICTURES, zipfile.ZIP_BZIP2), "method 12"),
        "zip: a wrong checksum": (_patched(GOOD_ZIP, 14, b"\1\2\3\4"), "checksum"),
        "zip: damaged compressed data": (_damaged_deflate(), "damaged"),
        "zip: a stored member without a size": (_patched(GOOD_ZIP, 6, b"\x08\0"), "without a size"),
        "zip: 4 GiB promised in 32 bits": (_patched(GOOD_ZIP, 18, b"\xff" * 8), "has no size"),
        "zip: a size that is a lie": (_patched(GOOD_ZIP, 18, pack("<II", 10**6, 10**6)), "truncated"),
        "zip: a comment with another end": (
            GOOD_ZIP[:-2] + pack("<H", 22) + b"PK\x05\x06" + bytes(18),
            "followed by other bytes",
        ),
    }


def _damaged_deflate() -> bytes:
    content = zipped({"class0/a.png": picture() + bytes(5000)}, zipfile.ZIP_DEFLATED)
    place = 30 + len("class0/a.png") + 20
    return _patched(content, place, b"\xff" * 10)


def _directories() -> dict[str, Hostile]:
    """Zip archives whose directory says something else than their members."""
    central = GOOD_ZIP.index(b"PK\x01\x02")
    end = GOOD_ZIP.rindex(b"PK\x05\x06")
    one = 46 + unpack("<H", GOOD_ZIP[central + 28 : central + 30])[0]
    hidden = GOOD_ZIP[:central] + GOOD_ZIP[central + one :]
    return {
        "directory: another name": (_patched(GOOD_ZIP, central + 46, b"class9"), "not what the archive holds"),
        "directory: another size": (_patched(GOOD_ZIP, central + 24, b"\1\0\0\0"), "not what the archive holds"),
        "directory: another checksum": (_patched(GOOD_ZIP, central + 16, b"\1\2\3\4"), "not what the archive holds"),
        "directory: another offset": (_patched(GOOD_ZIP, central + 42, b"\7\0\0\0"), "not what the archive holds"),
        "directory: leaves a member out": (hidden, "leaves out"),
        "directory: lists a member twice": (
            GOOD_ZIP[: central + one] + GOOD_ZIP[central : central + one] + GOOD_ZIP[central + one :],
            "not what the archive holds",
        ),
        "directory: another disk": (_patched(GOOD_ZIP, central + 34, b"\1\0"), "another disk"),
        "directory: wrong count": (_patched(GOOD_ZIP, end + 8, b"\1\0\1\0"), "does not fit"),
        "directory: wrong place": (_patched(GOOD_ZIP, end + 16, b"\1\0\0\0"), "does not fit"),
        "directory: a gap before it": (GOOD_ZIP[:central] + b"gap!" + GOOD_ZIP[central:], "leaves out"),
    }


def _special(kind: bytes, link: str = "/etc/passwd") -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as opened:
        info = tarfile.TarInfo("class0/evil.png")
        info.type, info.linkname = kind, link
        opened.addfile(info)
    return archive.getvalue()


def _pax(**attributes: str) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as opened:
        info = tarfile.TarInfo("class0/1.png")
        content = picture()
        info.size, info.pax_headers = len(content), attributes
        opened.addfile(info, io.BytesIO(content))
    return archive.getvalue()


def _global(**attributes: str) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT, pax_headers=attributes) as opened:
        opened.addfile(tarfile.TarInfo("class0/1.png"))
    return archive.getvalue()


def _tars() -> dict[str, Hostile]:
    kinds = {
        "symbolic link": tarfile.SYMTYPE,
        "hard link": tarfile.LNKTYPE,
        "character device": tarfile.CHRTYPE,
        "block device": tarfile.BLKTYPE,
        "pipe": tarfile.FIFOTYPE,
        "sparse file": tarfile.GNUTYPE_SPARSE,
        "contiguous file": tarfile.CONTTYPE,
    }
    return {f"tar: a {name}": (_special(kind), "link, a device or a sparse") for name, kind in kinds.items()} | {
        "tar: truncated in a header": (GOOD_TAR[:700], "truncated"),
        "tar: without its end": (GOOD_TAR.rstrip(b"\0"), "truncated"),
        "tar: more bytes": (GOOD_TAR + b"x" * 512, "followed by other bytes"),
        "tar: a second archive": (GOOD_TAR * 2, "followed by other bytes"),
        "tar: a wrong checksum": (_patched(GOOD_TAR, 0, b"k"), "checksum of a header"),
        "tar: a size that is no number": (_resized(b"00000abcdef\0"), "no number"),
        "tar: a size of 2^88": (_resized(b"\x80" + b"\xff" * 11), "may unpack to"),
        "tar: a negative size": (_resized(b"\xff" * 12), "no number"),
        "tar: a path in the attributes": (_pax(path="../evil.png"), "'..'"),
        "tar: a sparse file in the attributes": (_pax(**{"GNU.sparse.major": "1"}), "sparse file"),
        "tar: a path for all members": (_global(path="/etc/evil.png"), "of all its members at once"),
        "tar: attributes without an end": (_pax(comment="x" * 2**21), "bytes of attributes"),
        "tar.gz: truncated": (tarred(PICTURES)[:-9], "truncated"),
        "tar.gz: more bytes": (tarred(PICTURES) + b"x", "followed by other bytes"),
        "tar.gz: a second stream": (tarred(PICTURES) * 2, "followed by other bytes"),
        "tar.gz: damaged": (_patched(tarred(PICTURES), 20, b"\xff" * 9), "inflated"),
        "gzip: of no archive": (gzip.compress(b"hello" * 999), "not a tar archive"),
    }


def _resized(field: bytes) -> bytes:
    header = bytearray(GOOD_TAR[:512])
    header[124:136] = field
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + GOOD_TAR[512:]


def _header(text: bytes, data: bytes = b"", version: bytes = b"\1\0") -> bytes:
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text + data


def _array(content: bytes) -> bytes:
    """An npz whose x is ``content``."""
    return zipped({"x.npy": content, "y.npy": npz_member(np.arange(4))})


def npz_member(array: Any) -> bytes:
    """The bytes of an array as numpy writes them."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _arrays() -> dict[str, Hostile]:
    x, y = blobs()
    begin, shape = b"{'descr': '|u1', 'fortran_order': False, 'shape': ", b"(4, 8, 8)"
    evil = b"{'descr': __import__('os').system('x'), 'fortran_order': False, 'shape': (4, 8, 8)}"
    return {
        "npz: objects": (npz(x=np.array([print, None], dtype=object), y=y), "only plain arrays"),
        "npz: records": (npz(x=np.zeros(4, [("a", "u1"), ("b", "O")]), y=y), "only plain arrays"),
        "npz: code in a header": (_array(_header(evil, bytes(256))), "only plain arrays"),
        "npz: no dictionary": (_array(_header(b"[1, 2, 3]", bytes(256))), "only plain arrays"),
        "npz: a key twice": (_array(_header(begin + shape + b", 'shape': (1,)}", bytes(256))), "only plain arrays"),
        "npz: a negative size": (_array(_header(begin + b"(-4, 8, 8)}", bytes(256))), "only plain arrays"),
        "npz: sizes that overflow": (_array(_header(begin + b"(9999999999999, 9999999999999)}")), "cannot be read"),
        "npz: a terabyte promised": (_array(_header(begin + b"(1000000, 1000, 1000)}", bytes(64))), "the limits are"),
        "npz: shorter than its shape": (_array(_header(begin + shape + b"}", bytes(255))), "another size"),
        "npz: longer than its shape": (_array(_header(begin + shape + b"}", bytes(257))), "another size"),
        "npz: a header without an end": (_array(b"\x93NUMPY\1\0\xff\xff" + b" " * 99), "the limit is 10000"),
        "npz: a version of tomorrow": (_array(_header(begin + shape + b"}", bytes(256), b"\7\0")), "numpy's format"),
        "npz: no array": (_array(b"hello"), "numpy's format"),
        "npz: a pickle": (_array(b"\x80\x04N."), "numpy's format"),
        "npz: a picture beside arrays": (zipped({"x.npy": npz_member(x), "a/1.png": picture()}), "arrays alone"),
        "npz: NaN": (npz(x=np.full((4, 8, 8), np.nan, np.float32), y=y[:4]), "not finite"),
        "npz: infinite, big-endian": (npz(x=np.full((4, 8, 8), np.inf, ">f8"), y=y[:4]), "not finite"),
        "npz: no labels": (npz(x=x), "no array 'y'"),
        "npz: no images": (npz(y=y), "no array 'x'"),
        "npz: no test labels": (npz(x=x, y=y, x_test=x), "no array 'y_test'"),
        "npz: too few labels": (npz(x=x, y=y[:-1]), "60 integers"),
        "npz: one-hot labels": (npz(x=x, y=np.eye(3)[y]), "y.argmax(1)"),
        "npz: labels as text": (npz(x=x, y=y.astype(str)), "60 integers"),
        "npz: images as text": (npz(x=np.full((4, 8, 8), "a"), y=y[:4]), "must hold uint8 or floats"),
        "npz: no images in x": (npz(x=x[:0], y=y[:0]), "images are"),
        "npz: many arrays": (npz(**{f"a{number}": y for number in range(70)}), "more than 64 arrays"),
    }


def _bombs() -> dict[str, Hostile]:
    zeros = zlib.compress(bytes(80 * 2**20), 9)
    zipped_zeros = zipped({"class0/1.png": picture() + bytes(80 * 2**20)}, zipfile.ZIP_DEFLATED)
    return {
        "bomb: zip": (zipped_zeros, "decompression bomb"),
        "bomb: zip without promised sizes": (_streamed(bytes(80 * 2**20)), "decompression bomb"),
        "bomb: tar.gz": (tarred({"class0/1.png": picture() + bytes(80 * 2**20)}), "decompression bomb"),
        "bomb: npz": (
            npz(save=np.savez_compressed, x=np.zeros((2000, 200, 200), np.uint8), y=np.arange(2000) % 2),
            "decompression bomb",
        ),
        "bomb: a promise above the limit": (_promise(), "may unpack to"),
        "bomb: zlib is no archive": (zeros, "the limit is"),
    }


class _Pipe(io.RawIOBase):
    """A file that cannot seek, as a pipe."""

    def __init__(self) -> None:
        self.content = io.BytesIO()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self.content.write(data)


def _streamed(content: bytes) -> bytes:
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("class0/1.png", picture() + content)
    return pipe.content.getvalue()


def _promise() -> bytes:
    name = b"class0/1.png"
    extra = pack("<HHQQ", 1, 16, 2**50, 2**50)
    return b"PK\x03\x04" + pack("<HHHHHIIIHH", 45, 0, 0, 0, 33, 0, 2**32 - 1, 2**32 - 1, len(name), 20) + name + extra


def _others() -> dict[str, Hostile]:
    return {
        "pictures: not in folders": (zipped({"1.png": picture()}), "one folder for each class"),
        "pictures: none": (zipped({"class0/readme.txt": b"hello"}), "one folder for each class"),
        "pictures: hidden ones alone": (zipped({".class0/1.png": picture()}), "one folder for each class"),
        "pictures: a script": (zipped({"class0/1.png": b"#!/bin/sh\nrm -rf /\n"}), "named as a picture and is none"),
        "pictures: a page": (zipped({"class0/1.jpg": b"<svg onload=alert(1)>"}), "named as a picture and is none"),
        "other: bzip2": (tarred(PICTURES, "w:bz2"), "bzip2 archive"),
        "other: xz": (tarred(PICTURES, "w:xz"), "xz archive"),
        "other: 7z": (b"7z\xbc\xaf\x27\x1c" + bytes(90), "7z archive"),
        "other: RAR": (b"Rar!\x1a\x07\0" + bytes(90), "RAR archive"),
    }
