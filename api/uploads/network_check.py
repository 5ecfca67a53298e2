"""Checks the network in an uploaded file, in a process of its own, before the file is stored.

The strict parser sees to the file; this sees to the document in its metadata, which ``safs.capture`` wrote.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import safs
from api.errors import NotReadyError
from api.uploads.byte_stream import Readable
from safs.errors import NetworkError, NetworkTooLargeError, SafsError, UnsupportedOperationError

KEY = b'"safs.network"'
"""Key of the document in the metadata of a safetensors file."""
CPU_S = 120
"""Processor seconds of a check. Most networks take 1 to 5, beside the import of PyTorch."""
TIMEOUT_S = 300.0
LENGTH_BYTES = 8
MOST_HEADER_BYTES = 8 * 2**20

_ERRORS: Mapping[str, type[SafsError]] = {
    error.code: error for error in (NetworkError, UnsupportedOperationError, NetworkTooLargeError)
}


class CheckedNetwork:
    """A stream of the bytes of ``source`` that raises at its end if they hold a network that is refused.

    Args:
        source: raises if its bytes are not a valid safetensors file.
        max_gflops: limit on the cost of one image, in 10^9 operations.
    """

    def __init__(self, source: Readable, *, max_gflops: float) -> None:
        self._source, self._max_gflops = source, max_gflops
        self._head = bytearray()

    def read(self, size: int, /) -> bytes:
        """The next bytes of ``source``; empty at its end, if the network is accepted.

        Raises:
            NetworkError: the network is refused.
            NotReadyError: the process that checks it cannot be started, or ends without a result.
        """
        chunk = self._source.read(size)
        if chunk:
            missing = LENGTH_BYTES + MOST_HEADER_BYTES - len(self._head)
            if missing > 0 and not self._is_complete():
                self._head += chunk[:missing]
        elif KEY in (header := self._header()):
            check_network(header, max_gflops=self._max_gflops)
        return chunk

    def _is_complete(self) -> bool:
        return len(self._head) >= LENGTH_BYTES and len(self._head) >= LENGTH_BYTES + self._length()

    def _length(self) -> int:
        return int.from_bytes(self._head[:LENGTH_BYTES], "little")

    def _header(self) -> bytes:
        return bytes(self._head[LENGTH_BYTES : LENGTH_BYTES + self._length()])


def check_network(header: bytes, *, max_gflops: float, timeout_s: float = TIMEOUT_S) -> None:
    """Check the network that the header of a safetensors file holds.

    Raises:
        NetworkError: the network is refused.
        NotReadyError: the process cannot be started, or ends without a result.
    """
    # -B writes no bytecode, -P keeps the working directory off the path, and the environment holds no secrets.
    command = [sys.executable, "-B", "-P", "-m", "safs.models.declared", str(max_gflops), str(CPU_S)]
    env = {"PYTHONPATH": str(Path(safs.__file__).parents[1]), "OMP_NUM_THREADS": "1", "PATH": os.defpath}
    try:
        done = subprocess.run(
            command, input=header, capture_output=True, env=env, cwd="/", timeout=timeout_s, start_new_session=True
        )
    except subprocess.TimeoutExpired:
        raise NetworkTooLargeError(f"checking the network takes longer than {timeout_s:g} s") from None
    except OSError as error:
        raise NotReadyError(f"the process that checks the network could not be started ({error})") from error
    match _decoded(done.stdout):
        case {"name": str()} if done.returncode == 0:
            return
        case {"code": str(code), "message": str(message)} if code in _ERRORS:
            raise _ERRORS[code](message)
        case _:
            raise NetworkTooLargeError(
                f"checking the network takes too much time or memory (the process ended with {done.returncode})"
            )


def _decoded(result: bytes) -> object:
    try:
        return json.loads(result)
    except ValueError:
        return None
