"""A strict reader of zip archives that arrive as a stream.

The members are read in the order of their bytes, and the directory at the end must list exactly these members: the same
names, sizes, checksums and offsets, with nothing between them. So every program that reads the archive by its directory
finds what was checked here. The format: PKWARE, APPNOTE.TXT 6.3.10.
"""

import codecs
import zlib
from collections.abc import Iterator
from struct import unpack
from typing import NamedTuple, TypeAlias

from api.uploads.byte_stream import Budget, ByteStream, Inflated
from api.uploads.member_names import MemberNames
from api.uploads.strict_safetensors import Refused, shown

LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_END_64, _LOCATOR_64, _DESCRIPTOR = b"PK\x06\x06", b"PK\x06\x07", b"PK\x07\x08"
_STORED, _DEFLATED = 0, 8
_HAS_DESCRIPTOR, _UTF_8 = 1 << 3, 1 << 11
_KNOWN_FLAGS = 0b110 | _HAS_DESCRIPTOR | _UTF_8
_IN_ZIP64 = 0xFFFFFFFF
_VERSION = 63
"""Newest version of the format that a member may need; Python's reader knows it too."""
_UNIX, _FILE_TYPE, _REGULAR, _FOLDER = 3, 0o170000, 0o100000, 0o040000

# Python loads this codec from a file, which it could not do once the number of open files is limited.
_CP437 = codecs.lookup("cp437")

Member: TypeAlias = tuple[str, int | None, Iterator[bytes]]
"""Name, size in bytes (None if the header does not promise one), and content."""


class _Header(NamedTuple):
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    name: bytes


def members(stream: ByteStream, budget: Budget, names: MemberNames) -> Iterator[Member]:
    """The files of the archive in order. The content of each must be read to its end before the next is asked for.

    Raises:
        Refused: the archive is malformed, encrypted, holds links, or uses another compression than deflate.
    """
    listed: dict[int, _Header] = {}
    while stream.peek(4) == LOCAL:
        offset = stream.position
        header = _read_local(stream)
        name = _decoded(header)
        is_folder = name.endswith("/")
        path = names.add(name, is_folder=is_folder)
        what = f"the member {shown(name)}"
        known = not header.flags & _HAS_DESCRIPTOR
        if known:
            budget.promise(header.size, what)
        content = _Content(stream, budget, header, what)
        if is_folder:
            if any(content):
                raise Refused(f"{what} is a folder with content")
        else:
            yield path, header.size if known else None, iter(content)
        listed[offset] = content.finished()
    _check_directory(stream, listed)


class _Content:
    """The content of a member, whose size and checksum are verified at its end."""

    def __init__(self, stream: ByteStream, budget: Budget, header: _Header, what: str) -> None:
        self._stream, self._budget, self._header, self._what = stream, budget, header, what
        self._finished: _Header | None = None

    def __iter__(self) -> Iterator[bytes]:
        begin, crc, size = self._stream.position, 0, 0
        for chunk in self._chunks():
            crc, size = zlib.crc32(chunk, crc), size + len(chunk)
            if not self._header.flags & _HAS_DESCRIPTOR and size > self._header.size:
                raise Refused(f"{self._what} has more bytes than its header says")
            yield chunk
        found = self._header._replace(crc=crc, packed=self._stream.position - begin, size=size)
        if self._header.flags & _HAS_DESCRIPTOR:
            self._read_descriptor(found)
        elif found != self._header:
            raise Refused(f"{self._what} is damaged: its size or checksum is not what its header says")
        self._finished = found

    def finished(self) -> _Header:
        """The header with the sizes and the checksum that were found."""
        assert self._finished is not None, "the content was not read to its end"
        return self._finished

    def _chunks(self) -> Iterator[bytes]:
        header = self._header
        if header.method == _STORED:
            if header.flags & _HAS_DESCRIPTOR or header.packed != header.size:
                raise Refused(f"{self._what} is stored without a size; write the archive to a file, not to a pipe")
            for chunk in self._stream.chunks(header.size, self._what):
                self._budget.take(len(chunk))
                yield chunk
            return
        size = None if header.flags & _HAS_DESCRIPTOR else header.packed
        inflated = Inflated(self._stream, self._budget, -zlib.MAX_WBITS, self._what, size)
        while chunk := inflated.read(2**18):
            yield chunk

    def _read_descriptor(self, found: _Header) -> None:
        crc = found.crc.to_bytes(4, "little")
        ahead = self._stream.peek(24)
        for width in (4, 8):
            sizes = (found.packed, found.size)
            if max(sizes) >= 2 ** (8 * width):
                continue
            plain = crc + b"".join(size.to_bytes(width, "little") for size in sizes)
            for expected in (_DESCRIPTOR + plain, plain):
                after = self._stream.peek(len(expected) + 2)[len(expected) :]
                if ahead.startswith(expected) and after == b"PK":
                    self._stream.exactly(len(expected), self._what)
                    return
        raise Refused(f"{self._what} is damaged: its size or checksum is not what follows it")


def _read_local(stream: ByteStream) -> _Header:
    fixed = stream.exactly(30, "the header of a member")
    _, needed, flags, method, _, _, crc, packed, size, name_bytes, extra_bytes = unpack("<4sHHHHHIIIHH", fixed)
    name = stream.exactly(name_bytes, "the name of a member")
    extra = stream.exactly(extra_bytes, "the header of a member")
    size, packed = _from_zip64(extra, size, packed)
    header = _Header(flags, method, crc, packed, size, name)
    if flags & ~_KNOWN_FLAGS or needed & 0xFF > _VERSION:
        raise Refused(f"the member {_shown(name)} is encrypted or uses features that are not read")
    if method not in (_STORED, _DEFLATED):
        raise Refused(f"the member {_shown(name)} is compressed by method {method}; only deflate is read")
    return header


def _from_zip64(extra: bytes, *sizes: int) -> list[int]:
    """The sizes; those of 0xFFFFFFFF are in the zip64 field of ``extra``."""
    missing = [place for place, size in enumerate(sizes) if size == _IN_ZIP64]
    found = list(sizes)
    if not missing:
        return found
    while len(extra) >= 4:
        tag, length = unpack("<HH", extra[:4])
        field, extra = extra[4 : 4 + length], extra[4 + length :]
        if tag == 1 and len(field) >= 8 * len(missing):
            for order, place in enumerate(missing):
                found[place] = int.from_bytes(field[8 * order : 8 * order + 8], "little")
            return found
    raise Refused("the archive is damaged: a member of 4 GiB or more has no size")


def _decoded(header: _Header) -> str:
    try:
        return header.name.decode() if header.flags & _UTF_8 else _CP437.decode(header.name)[0]
    except UnicodeDecodeError as error:
        raise Refused(f"the archive has the name {_shown(header.name)}, which is not UTF-8") from error


def _shown(name: bytes) -> str:
    return shown(name.decode("utf-8", "replace"))


def _check_directory(stream: ByteStream, listed: dict[int, _Header]) -> None:
    begin, entries = stream.position, len(listed)
    while stream.peek(4) == CENTRAL:
        offset, header = _read_central(stream)
        if listed.pop(offset, None) != header:
            raise Refused(f"the archive's directory lists {_shown(header.name)}, which is not what the archive holds")
    if listed:
        raise Refused(f"the archive's directory leaves out {_shown(next(iter(listed.values())).name)}")
    _check_end(stream, entries, begin, stream.position - begin)


def _read_central(stream: ByteStream) -> tuple[int, _Header]:
    """Offset of the member and its header, as the directory has them."""
    fixed = unpack("<4sHHHHHHIIIHHHHHII", stream.exactly(46, "its directory"))
    _, version, needed, flags, method, _, _, crc, packed, size, name_bytes, extra_bytes, comment_bytes, disk, _ = fixed[
        :15
    ]
    attributes, offset = fixed[15:]
    name = stream.exactly(name_bytes, "its directory")
    extra = stream.exactly(extra_bytes, "its directory")
    stream.exactly(comment_bytes, "its directory")
    size, packed, offset = _from_zip64(extra, size, packed, offset)
    kind = attributes >> 16 & _FILE_TYPE if version >> 8 == _UNIX else 0
    if kind not in (0, _REGULAR, _FOLDER):
        raise Refused(f"the member {_shown(name)} is a link or a device; only files and folders are read")
    if (kind == _FOLDER) > name.endswith(b"/") or disk or needed & 0xFF > _VERSION:
        what = "as a folder, on another disk, or as unreadable"
        raise Refused(f"the archive's directory lists {_shown(name)} {what}")
    return offset, _Header(flags, method, crc, packed, size, name)


def _check_end(stream: ByteStream, entries: int, begin: int, size: int) -> None:
    """Check the records at the end of the archive, and that nothing follows them."""
    if stream.peek(4) == _END_64:
        place = stream.position
        fixed = unpack("<4sQHHIIQQQQ", stream.exactly(56, "its end"))
        _, length, _, _, disk, first_disk, here, total, dir_size, dir_begin = fixed
        locator = stream.exactly(20, "its end")
        expected = _LOCATOR_64 + (0).to_bytes(4, "little") + place.to_bytes(8, "little") + (1).to_bytes(4, "little")
        if (length, disk, first_disk) != (44, 0, 0) or locator != expected:
            raise Refused("the archive's end is malformed")
        if (here, total, dir_size, dir_begin) != (entries, entries, size, begin):
            raise Refused("the archive's end does not fit its directory")
    signature, *given, comment_bytes = unpack("<4sHHHHIIH", stream.exactly(22, "its end"))
    if signature != END:
        raise Refused("the archive is malformed: what follows a member is neither a member nor the directory")
    exact = (0, 0, entries, entries, size, begin)
    largest = (0, 0, 0xFFFF, 0xFFFF, _IN_ZIP64, _IN_ZIP64)
    if any(one not in (right, most) for one, right, most in zip(given, exact, largest, strict=True)):
        raise Refused("the archive's end does not fit its directory")
    comment = stream.exactly(comment_bytes, "its comment")
    if END in comment or stream.peek(1):
        raise Refused("the archive is followed by other bytes")
