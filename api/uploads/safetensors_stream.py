"""Uploads parsed while they arrive, in a process apart: see ``strict_safetensors``.

Every piece is handed to the parser by a pipe before it is passed on to be stored, so the first bytes that cannot be
right end the upload, and what the parser has not accepted as a whole never gets a name.
"""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Protocol, Self

from api.errors import NotReadyError, UploadError, UploadTooLargeError
from api.uploads import strict_safetensors

PATIENCE_S = 30.0
"""How long the parser may take to read on, or to answer."""
LEAST_CPU_S = 20
BYTES_A_SECOND = 50_000_000
"""Far fewer than the parser checks: 170 MB of F16 on one core."""
LONGEST_ANSWER_BYTES = 65_536


class Readable(Protocol):
    """A binary stream; an empty answer is its end."""

    def read(self, size: int, /) -> bytes: ...


class SafetensorsStream:
    """``source``, passed on unchanged as long as it is well-formed safetensors.

    A context manager: its process ends with it.

    Args:
        limit_bytes: longest allowed file.
        program: what parses; for tests.
        patience_s: how long it may take to read on, or to answer.

    Raises:
        NotReadyError: the machine has no process left for the parser.
    """

    def __init__(
        self,
        source: Readable,
        *,
        limit_bytes: int,
        program: Path = Path(strict_safetensors.__file__),
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._source = source
        self._limit_bytes = limit_bytes
        self._patience_s = patience_s
        self._size_bytes = 0
        self.cpu_s = LEAST_CPU_S + limit_bytes // BYTES_A_SECOND
        # An environment without the service's secrets; no paths but Python's own (-I, -S), so nothing that is installed
        # runs; a session of its own, so a Ctrl-C meant for the service lets uploads end.
        try:
            self._parser = subprocess.Popen(
                [sys.executable, "-I", "-S", str(program), str(limit_bytes), str(self.cpu_s)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={},
                cwd="/",
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            raise NotReadyError(f"no process could be started to parse the upload ({error}); send it again") from error
        assert self._parser.stdin is not None
        os.set_blocking(self._parser.stdin.fileno(), False)
        self.tensors = 0
        """Known at the end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._parser.kill()
        self._parser.wait()
        for pipe in (self._parser.stdin, self._parser.stdout):
            assert pipe is not None
            pipe.close()

    def read(self, size: int, /) -> bytes:
        """The next bytes of the source; the end only if the file is accepted.

        Raises:
            UploadTooLargeError: the file is longer than allowed, or says that it will be.
            UploadError: the parser refuses the file, or takes more time or memory than it may.
        """
        chunk = self._source.read(size)
        self._size_bytes += len(chunk)
        if self._size_bytes > self._limit_bytes:
            raise self._too_large()
        if chunk:
            self._hand_over(chunk)
        else:
            self.tensors = self._verdict()
        return chunk

    def _hand_over(self, chunk: bytes) -> None:
        assert self._parser.stdin is not None
        pipe, rest = self._parser.stdin.fileno(), memoryview(chunk)
        writable = select.poll()
        writable.register(pipe, select.POLLOUT)
        while rest:
            if not writable.poll(self._patience_s * 1000):
                raise UploadError(self._late())
            try:
                rest = rest[os.write(pipe, rest) :]
            except BrokenPipeError:
                self._verdict()
                raise UploadError("the file has more bytes than its header and tensors take") from None

    def _verdict(self) -> int:
        """How many tensors the file has, once the parser has said so."""
        assert self._parser.stdin is not None
        assert self._parser.stdout is not None
        self._parser.stdin.close()
        try:
            ended = self._parser.wait(self._patience_s)
        except subprocess.TimeoutExpired:
            raise UploadError(self._late()) from None
        match _parsed(self._parser.stdout.read(LONGEST_ANSWER_BYTES)):
            case {"tensors": int(tensors)} if ended == 0:
                return tensors
            case {"refused": str(reason)}:
                raise UploadError(reason)
            case {"too_large": str()}:
                raise self._too_large()
            case _:
                raise UploadError(self._broken(ended))

    def _too_large(self) -> UploadTooLargeError:
        return UploadTooLargeError(
            f"the file is longer than the {self._limit_bytes} bytes that SAFS_UPLOAD_LIMIT_BYTES allows"
        )

    def _late(self) -> str:
        return f"the file is refused: its parser did not get on for {self._patience_s:g} s and was stopped"

    def _broken(self, ended: int) -> str:
        if ended == -signal.SIGXCPU:
            return f"the file is refused: parsing it took more than {self.cpu_s} s of processor time"
        how = f"killed by {signal.Signals(-ended).name}" if ended < 0 else f"ended with {ended}"
        return f"the file is refused: its parser broke on it ({how})"


def _parsed(answer: bytes | None) -> object:
    try:
        return json.loads(answer or b"")
    except ValueError:
        return None
