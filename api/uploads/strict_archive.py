"""A strict parser of archives with a data set, and a program that runs it in a sandboxed process.

``python -I -S strict_archive.py`` reads a zip or tar archive from standard input and writes one line of JSON. The
archive holds either arrays (the members of an ``.npz``) or pictures. Nothing is unpacked to a file: the content is
inflated, checked and dropped. Like ``strict_safetensors``, the program limits its own resources.
"""

import json
import os
import sys
from collections.abc import Iterable
from typing import Any

if __name__ == "__main__":  # -I leaves the folders of the program out of the path.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from api.uploads.archive_contents import Found, check_arrays, check_pictures
from api.uploads.byte_stream import Budget, ByteStream, Inflated, Readable
from api.uploads.member_names import MemberNames
from api.uploads.strict_safetensors import MEMORY_BYTES, Refused, TooLarge, limit_resources, written_by_torch_save
from api.uploads.tar_members import is_tar
from api.uploads.tar_members import members as tar_members
from api.uploads.zip_members import END, LOCAL, Member
from api.uploads.zip_members import members as zip_members

MAX_MEMBERS = 200_000
GZIP = b"\x1f\x8b"
_UNREAD = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"7z\xbc\xaf": "7z", b"Rar!": "RAR", b"\x28\xb5\x2f\xfd": "Zstandard"}


def is_archive(head: bytes) -> bool:
    """True if a file that begins with ``head``, its first 512 bytes, is one for this parser."""
    return head.startswith((LOCAL, END, GZIP, *_UNREAD)) or is_tar(head)


def parse(file: Readable, *, limit_bytes: int) -> Found:
    """The content of the archive. The file is read once and refused at the first invalid byte.

    Args:
        limit_bytes: maximum number of bytes that the archive may unpack to.

    Raises:
        Refused: the archive is malformed, hostile, or holds neither arrays nor pictures.
    """
    stream = ByteStream(file)
    names = MemberNames(MAX_MEMBERS)
    budget = Budget(stream, limit_bytes)
    head = stream.peek(512)
    for magic, name in _UNREAD.items():
        if head.startswith(magic):
            raise Refused(f"the file is a {name} archive; send a .npz, .zip, .tar or .tar.gz file")
    if head.startswith((LOCAL, END)):
        found = _contents(zip_members(stream, budget, names))
    elif head.startswith(GZIP):
        inflated = ByteStream(Inflated(stream, budget, 31, "the archive"))
        if not is_tar(inflated.peek(512)):
            raise Refused("the file is compressed by gzip and is not a tar archive")
        found = _contents(tar_members(inflated, budget, names, counted=True))
        if stream.peek(1):
            raise Refused("the archive is followed by other bytes")
    else:
        found = _contents(tar_members(stream, budget, names, counted=False))
    return found


def _contents(members: Iterable[Member]) -> Found:
    listed = iter(members)
    first = next(listed, None)
    if first is None:
        raise Refused("the archive is empty")
    if first[0].endswith("/data.pkl"):
        raise written_by_torch_save()
    return check_arrays(first, listed) if first[0].endswith(".npy") else check_pictures(first, listed)


def main() -> None:
    """Parse standard input and write what was found, ``{"refused": "why"}`` or ``{"too_large": "why"}``."""
    limit_bytes, cpu_s = int(sys.argv[1]), int(sys.argv[2])
    limit_resources(cpu_s)
    result: dict[str, Any]
    try:
        result = parse(sys.stdin.buffer, limit_bytes=limit_bytes)._asdict()
    except TooLarge as error:
        result = {"too_large": str(error)}
    except Refused as error:
        result = {"refused": str(error)}
    except MemoryError:
        result = {"refused": f"parsing the archive needs more than {MEMORY_BYTES // 2**20} MiB of memory"}
    os.write(1, json.dumps(result).encode() + b"\n")


if __name__ == "__main__":
    main()
