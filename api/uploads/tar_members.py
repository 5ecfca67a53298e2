"""A strict reader of tar archives that arrive as a stream: ustar, pax and GNU tar.

Accepted are files and folders; links, devices and sparse files are refused. The formats: POSIX.1-2001, pax; the manual
of GNU tar.
"""

from collections.abc import Iterator

from api.uploads.byte_stream import Budget, ByteStream
from api.uploads.member_names import MemberNames
from api.uploads.strict_safetensors import Refused, shown
from api.uploads.zip_members import Member

BLOCK = 512
MAX_ATTRIBUTES_BYTES = 2**20
"""Maximum size of a member's extended attributes and of a long name."""
_REGULAR, _FOLDER, _PAX, _PAX_GLOBAL, _GNU_NAME = (b"0", b"\0"), b"5", b"x", b"g", b"L"
_EMPTY = bytes(BLOCK)


def is_tar(head: bytes) -> bool:
    """True if the first block of a file is a tar header; all formats that are read have the magic."""
    return head[257:262] == b"ustar"


def members(stream: ByteStream, budget: Budget, names: MemberNames, *, counted: bool) -> Iterator[Member]:
    """The files of the archive in order. The content of each must be read to its end before the next is asked for.

    Args:
        counted: True if ``stream`` is inflated, so that ``budget`` has counted its bytes already.

    Raises:
        Refused: the archive is malformed, or holds links, devices or sparse files.
    """
    attributes: dict[bytes, bytes] = {}
    while (header := stream.exactly(BLOCK, "the header of a member")) != _EMPTY:
        _check(header)
        kind, size = header[156:157], _number(header[124:136])
        if kind in (_PAX, _PAX_GLOBAL, _GNU_NAME):
            content = _small(stream, size)
            attributes |= _attributes(kind, content)
            continue
        name = _name(header, attributes)
        size = _size(attributes, size)
        attributes = {}
        is_folder = kind == _FOLDER or (kind in _REGULAR and name.endswith("/"))
        what = f"the member {shown(name)}"
        if kind not in (*_REGULAR, _FOLDER):
            raise Refused(f"{what} is a link, a device or a sparse file; only files and folders are read")
        if is_folder and size:
            raise Refused(f"{what} is a folder with content")
        path = names.add(name, is_folder=is_folder)
        if not is_folder:
            budget.promise(size, what)
            yield path, size, _content(stream, budget, size, what, counted=counted)
    _check_end(stream)


def _content(stream: ByteStream, budget: Budget, size: int, what: str, *, counted: bool) -> Iterator[bytes]:
    for chunk in stream.chunks(size, what):
        if not counted:
            budget.take(len(chunk))
        yield chunk
    _skip_padding(stream, size)


def _check(header: bytes) -> None:
    if not is_tar(header):
        raise Refused("the archive is malformed: a member has no tar header")
    total = sum(header[:148]) + 8 * 32 + sum(header[156:])
    if _number(header[148:156]) != total:
        raise Refused("the archive is damaged: the checksum of a header is wrong")


def _number(field: bytes) -> int:
    """A size: octal digits, or a binary number after a byte of 0x80."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0")[0].strip(b" ")
    if digits.strip(b"01234567"):
        raise Refused("the archive is malformed: a header has a size that is no number")
    return int(digits or b"0", 8)


def _small(stream: ByteStream, size: int) -> bytes:
    if size > MAX_ATTRIBUTES_BYTES:
        raise Refused(f"a member has {size:,} bytes of attributes; the limit is {MAX_ATTRIBUTES_BYTES:,}")
    content = stream.exactly(size, "the attributes of a member")
    _skip_padding(stream, size)
    return content


def _skip_padding(stream: ByteStream, size: int) -> None:
    stream.exactly(-size % BLOCK, "the padding of a member")


def _attributes(kind: bytes, content: bytes) -> dict[bytes, bytes]:
    if kind == _GNU_NAME:
        return {b"path": content.removesuffix(b"\0")}
    found: dict[bytes, bytes] = {}
    while content:
        length = content.partition(b" ")[0]
        if not 1 <= len(length) <= 7 or not length.isdigit() or content[int(length) - 1 : int(length)] != b"\n":
            raise Refused("the archive is malformed: the attributes of a member cannot be read")
        key, equals, value = content[len(length) + 1 : int(length) - 1].partition(b"=")
        content = content[int(length) :]
        if not equals or key.startswith(b"GNU.sparse"):
            raise Refused("the archive is malformed, or holds a sparse file, which is not read")
        if kind == _PAX_GLOBAL and key in (b"path", b"size"):
            raise Refused("the archive sets the name or the size of all its members at once")
        if key in (b"path", b"size"):
            found[key] = value
    return found


def _name(header: bytes, attributes: dict[bytes, bytes]) -> str:
    name, prefix = header[:100].partition(b"\0")[0], b""
    if header[257:265] == b"ustar\x0000":
        prefix = header[345:500].partition(b"\0")[0]
    given = attributes.get(b"path", prefix + b"/" + name if prefix else name)
    try:
        return given.decode()
    except UnicodeDecodeError as error:
        raise Refused(
            f"the archive has the name {shown(given.decode('utf-8', 'replace'))}, which is not UTF-8"
        ) from error


def _size(attributes: dict[bytes, bytes], size: int) -> int:
    given = attributes.get(b"size")
    if given is None:
        return size
    if not given.isdigit() or len(given) > 19:
        raise Refused("the archive is malformed: a member has a size that is no number")
    return int(given)


def _check_end(stream: ByteStream) -> None:
    """Only zeros may follow the first block of zeros, at least one block of them."""
    stream.exactly(BLOCK, "its last two blocks")
    padding = 0
    while chunk := stream.read(2**18):
        padding += len(chunk)
        if chunk.strip(b"\0") or padding > 2**21:
            raise Refused("the archive is followed by other bytes")
