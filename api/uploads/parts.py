"""Parts of a large file: how it is cut, the digest of each part, and the file that they become."""

import base64
import hashlib
import re
from collections.abc import Sequence
from io import BytesIO
from math import ceil
from typing import BinaryIO, Self

from api.errors import UploadError
from api.uploads.byte_stream import Readable
from store.artifacts.stored_files import ArtifactStore
from store.incoming import IncomingPart, IncomingUpload

PART_BYTES = 32 * 2**20
"""Size of every part but the last."""
_DIGEST = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/]{43}=):\s*(?:,|$)")


def part_sizes(size_bytes: int) -> list[int]:
    """Sizes of the parts of a file.

    >>> part_sizes(PART_BYTES * 2 + 1) == [PART_BYTES, PART_BYTES, 1]
    True
    """
    return [min(PART_BYTES, size_bytes - begin * PART_BYTES) for begin in range(ceil(size_bytes / PART_BYTES))]


def announced_digest(header: str) -> str:
    """The sha256 in a ``Content-Digest`` header (RFC 9530), in hexadecimal.

    >>> announced_digest("sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:")[:8]
    'e3b0c442'

    Raises:
        UploadError: the header has no sha256.
    """
    match = _DIGEST.search(header)
    if match is None:
        raise UploadError(
            "each part needs the header Content-Digest with its sha256 (RFC 9530), such as sha-256=:<base64>:"
        )
    return base64.b64decode(match[1]).hex()


class PartStream:
    """A stream of the bytes of ``source`` that raises at its end unless they have this size and sha256."""

    def __init__(self, source: Readable, *, size_bytes: int, sha256: str) -> None:
        self._source, self._left, self._sha256 = source, size_bytes, sha256
        self._size_bytes = size_bytes
        self._digest = hashlib.sha256()

    def read(self, size: int, /) -> bytes:
        """The next bytes of the part; raises ``UploadError`` at a mismatch."""
        chunk = self._source.read(size)
        self._left -= len(chunk)
        self._digest.update(chunk)
        if self._left < 0 or (not chunk and self._left):
            raise UploadError(f"this part must have {self._size_bytes} bytes, and the body has more or fewer")
        if not chunk and (found := self._digest.hexdigest()) != self._sha256:
            raise UploadError(f"the part has the sha256 {found}, and Content-Digest says {self._sha256}; send it again")
        return chunk


class JoinedParts:
    """The bytes of stored parts, one part after the other. A context manager, which closes the last part."""

    def __init__(self, artifacts: ArtifactStore, parts: Sequence[IncomingPart]) -> None:
        self._hashes = [part.sha256 for part in reversed(parts)]
        self._artifacts = artifacts
        self._open: BinaryIO = BytesIO()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes; empty at the end of the last part."""
        while not (chunk := self._open.read(size)) and self._hashes:
            self._open.close()
            self._open = self._artifacts.open(self._hashes.pop())
        return chunk


def missing_parts(upload: IncomingUpload) -> list[int]:
    """Numbers of the parts that have not arrived."""
    present = {part.number for part in upload.parts}
    return [number for number in range(1, len(part_sizes(upload.size_bytes)) + 1) if number not in present]
