"""Parses uploads while they arrive, in a separate process that runs ``strict_safetensors`` or ``strict_archive``.

Each chunk is written to the parser's pipe before it is passed on to the store. The first invalid bytes end the upload,
and a file is stored under its hash only after the parser has accepted all of it.
"""

import json
import os
import select
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from api.errors import NotReadyError, UploadError, UploadTooLargeError
from api.uploads import strict_archive, strict_safetensors
from api.uploads.byte_stream import ByteStream, Readable

PARSER_TIMEOUT_S = 30.0
"""Seconds within which the parser must read the next bytes, or report its result."""
MIN_CPU_S = 20
"""Processor seconds that the parser gets in any case."""
BYTES_PER_CPU_S = 50_000_000
"""Bytes for which the parser gets one more processor second. It checks 170 MB of F16 per second on one core."""
HEAD_BYTES = 512
"""First bytes of a file, which tell its format."""
MAX_RESULT_BYTES = 65_536
"""Maximum size of the parser's result."""


MAX_UNPACKED = 4
"""Bytes that an archive may unpack to, as a multiple of the size limit."""


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a file, as the parser found it."""

    kind: str
    """``weights``, ``arrays`` or ``pictures``."""
    tensors: int | None
    """Number of tensors; None for a data set."""
    images: int | None
    """Number of images; None for weights."""


class UploadStream:
    """A stream of the bytes of ``source`` that raises if they are not a valid file. Its first bytes choose the parser.

    Use it as a context manager, which ends the parser's process. ``content`` is set when ``read`` has returned the end
    of the file.

    Args:
        limit_bytes: maximum size of the file.
        program: script that parses the file; None takes the one for its first bytes. Tests give one.
        timeout_s: seconds within which the parser must read the next bytes, or report its result.

    Raises:
        NotReadyError: the parser's process cannot be started.
    """

    def __init__(
        self,
        source: Readable,
        *,
        limit_bytes: int,
        program: Path | None = None,
        timeout_s: float = PARSER_TIMEOUT_S,
    ) -> None:
        self._source = ByteStream(source)
        self.is_archive = is_archive = strict_archive.is_archive(self._source.peek(HEAD_BYTES))
        program = program or Path(strict_archive.__file__ if is_archive else strict_safetensors.__file__)
        self._limit_bytes = limit_bytes
        self._timeout_s = timeout_s
        self._size_bytes = 0
        parsed_bytes = limit_bytes * MAX_UNPACKED if is_archive else limit_bytes
        self.cpu_s = MIN_CPU_S + parsed_bytes // BYTES_PER_CPU_S
        # An empty environment hides the service's secrets. -I and -S keep installed packages from being imported. A new
        # session keeps the parser alive when Ctrl-C stops the service, so that running uploads can end.
        try:
            self._parser = subprocess.Popen(
                [sys.executable, "-I", "-S", str(program), str(parsed_bytes), str(self.cpu_s)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={},
                cwd="/",
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            raise NotReadyError(
                f"the process that parses the upload could not be started ({error}); send the upload again"
            ) from error
        assert self._parser.stdin is not None
        os.set_blocking(self._parser.stdin.fileno(), False)
        self.content = Content("weights", None, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._parser.kill()
        self._parser.wait()
        for pipe in (self._parser.stdin, self._parser.stdout):
            assert pipe is not None
            pipe.close()

    def read(self, size: int, /) -> bytes:
        """The next bytes of ``source``; empty at its end, if the parser has accepted the file.

        Raises:
            UploadTooLargeError: the file is larger than the limit, or its header says so.
            UploadError: the parser refused the file, or exceeded its time or memory limit.
        """
        chunk = self._source.read(size)
        self._size_bytes += len(chunk)
        if self._size_bytes > self._limit_bytes:
            raise self._too_large()
        if chunk:
            self._feed(chunk)
        else:
            self.content = self._result()
        return chunk

    def _feed(self, chunk: bytes) -> None:
        assert self._parser.stdin is not None
        pipe, rest = self._parser.stdin.fileno(), memoryview(chunk)
        writable = select.poll()
        writable.register(pipe, select.POLLOUT)
        while rest:
            if not writable.poll(self._timeout_s * 1000):
                raise UploadError(self._timed_out())
            try:
                rest = rest[os.write(pipe, rest) :]
            except BrokenPipeError:
                self._result()
                raise UploadError("the file has more bytes than its header and content need") from None

    def _result(self) -> Content:
        """Wait for the parser's result."""
        assert self._parser.stdin is not None
        assert self._parser.stdout is not None
        self._parser.stdin.close()
        try:
            ended = self._parser.wait(self._timeout_s)
        except subprocess.TimeoutExpired:
            raise UploadError(self._timed_out()) from None
        match _decoded(self._parser.stdout.read(MAX_RESULT_BYTES)):
            case {"tensors": int(tensors)} if ended == 0:
                return Content("weights", tensors, None)
            case {"kind": "arrays" | "pictures" as kind, "images": int(images)} if ended == 0:
                return Content(kind, None, images)
            case {"refused": str(reason)}:
                raise UploadError(reason)
            case {"too_large": str()}:
                raise self._too_large()
            case _:
                raise UploadError(self._crashed(ended))

    def _too_large(self) -> UploadTooLargeError:
        return UploadTooLargeError(
            f"the file is larger than {self._limit_bytes} bytes, the limit set by SAFS_UPLOAD_LIMIT_BYTES"
        )

    def _timed_out(self) -> str:
        return f"the file is refused: its parser made no progress for {self._timeout_s:g} s and was stopped"

    def _crashed(self, ended: int) -> str:
        if ended == -signal.SIGXCPU:
            return f"the file is refused: parsing it took more than {self.cpu_s} s of processor time"
        how = f"killed by {signal.Signals(-ended).name}" if ended < 0 else f"exit status {ended}"
        return f"the file is refused: its parser crashed ({how})"


def _decoded(result: bytes | None) -> object:
    try:
        return json.loads(result or b"")
    except ValueError:
        return None
