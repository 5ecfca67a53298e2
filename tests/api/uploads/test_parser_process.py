"""The parser's process: what it may use, what it knows, and that whatever happens to it is a refusal."""

import json
import os
from collections.abc import Iterator
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.errors import UploadError
from api.uploads import strict_safetensors
from api.uploads.upload_stream import UploadStream
from tests.api.uploads.corpus import WEIGHTS, file

PARSER = Path(strict_safetensors.__file__)


def _send(content: bytes, program: Path = PARSER, timeout_s: float = 30.0) -> int | None:
    with UploadStream(BytesIO(content), limit_bytes=10**7, program=program, timeout_s=timeout_s) as stream:
        passed = b"".join(iter(lambda: stream.read(2**16), b""))
    assert passed == content
    return stream.content.tensors


def _program(folder: Path, what_happens: str) -> Path:
    """The parser, but for what happens once it has read the file's first 8 bytes."""
    source = PARSER.read_text()
    assert source.count("    header = _read_header_bytes(file)\n") == 1
    changed = folder / "parser.py"
    changed.write_text(source.replace("    header = _read_header_bytes(file)\n", f"    {what_happens}\n"))
    return changed


def test_a_good_file_passes_unchanged_and_its_tensors_are_counted() -> None:
    assert _send(WEIGHTS) == 3


class _Pieces:
    """A stream that hands out what it has in pieces of the given sizes."""

    def __init__(self, content: bytes, sizes: Iterator[int]) -> None:
        self.rest = content
        self.sizes = sizes

    def read(self, size: int, /) -> bytes:
        size = min(size, next(self.sizes))
        piece, self.rest = self.rest[:size], self.rest[size:]
        return piece


@given(sizes=st.lists(st.integers(1, 200), min_size=1))
@settings(max_examples=10, deadline=None)
def test_how_the_bytes_arrive_makes_no_difference(sizes: list[int]) -> None:
    with UploadStream(_Pieces(WEIGHTS, iter(sizes * (len(WEIGHTS) + 1))), limit_bytes=1000) as stream:
        passed = b"".join(iter(lambda: stream.read(1000), b""))

    assert (passed, stream.content.tensors) == (WEIGHTS, 3)


@pytest.mark.parametrize(
    ("what_happens", "words"),
    [
        ("os.kill(os.getpid(), 9)", "killed by SIGKILL"),
        ("os.kill(os.getpid(), 11)", "killed by SIGSEGV"),
        ("os._exit(0)", "exit status 0"),
        ("raise RuntimeError('a defect of ours')", "exit status 1"),
        ('os.write(1, b\'{"tensors": "many"}\'); os._exit(0)', "exit status 0"),
        ("os.write(1, b'x' * 65536); os._exit(0)", "exit status 0"),
        ("bytearray(2**28)", "192 MiB of memory"),
        ("open('/etc/passwd')", "exit status 1"),
        ("os.open('/dev/zero', os.O_RDONLY)", "exit status 1"),
    ],
)
def test_a_parser_that_dies_or_takes_too_much_is_a_refusal(tmp_path: Path, what_happens: str, words: str) -> None:
    with pytest.raises(UploadError, match=words):
        _send(WEIGHTS, _program(tmp_path, what_happens))


def test_a_parser_that_computes_for_too_long_is_killed(tmp_path: Path) -> None:
    program = _program(tmp_path, "resource.setrlimit(resource.RLIMIT_CPU, (1, 20))\n    while True: pass")

    with pytest.raises(UploadError, match=r"more than \d+ s of processor time"):
        _send(WEIGHTS, program)


@pytest.mark.parametrize("size_bytes", [1000, 1_000_000], ids=["at the end", "while it is fed"])
def test_a_parser_that_stands_still_is_stopped(tmp_path: Path, size_bytes: int) -> None:
    program = _program(tmp_path, "import time; time.sleep(600)")

    with pytest.raises(UploadError, match=r"made no progress for 0\.2 s"):
        _send(file(b" " * size_bytes), program, timeout_s=0.2)


def test_the_parser_knows_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAFS_DATABASE_URL", "postgresql://user:password@host/safs")
    says = "raise Refused(json.dumps([sorted(os.environ), os.getcwd(), os.listdir('/proc/self/fd')]))"
    # A limit on open files comes before the parse, so the list is made before it.
    source = PARSER.read_text().replace("resource.RLIMIT_NOFILE: 3", "resource.RLIMIT_NOFILE: 9")
    changed = tmp_path / "parser.py"
    changed.write_text(source.replace("    header = _read_header_bytes(file)\n", f"    {says}\n"))

    with pytest.raises(UploadError) as caught:
        _send(WEIGHTS, changed)

    environment, folder, descriptors = json.loads(str(caught.value))
    assert set(environment) <= {"LC_CTYPE"}  # Python sets it for itself.
    assert folder == "/"
    assert set(descriptors) <= {"0", "1", "2", "3"}  # 3 is the folder that is being listed.


def test_nothing_of_a_parser_is_left(tmp_path: Path) -> None:
    before, children = set(os.listdir("/proc/self/fd")), _children()

    with pytest.raises(UploadError):
        _send(WEIGHTS, _program(tmp_path, "import time; time.sleep(600)"), timeout_s=0.1)

    assert set(os.listdir("/proc/self/fd")) == before
    assert _children() == children  # Of which other tests may have left some, such as a database's server.


def test_the_hash_of_what_passes_is_the_hash_of_what_was_sent() -> None:
    with UploadStream(BytesIO(WEIGHTS), limit_bytes=10**7) as stream:
        digest = sha256(b"".join(iter(lambda: stream.read(7), b"")))

    assert digest.hexdigest() == sha256(WEIGHTS).hexdigest()


def _children() -> set[int]:
    """Processes that this one has started and that have not been waited for; dead ones among them."""
    return {child.pid for child in psutil.Process().children()}
