"""Pickles: what is read, and that malicious files run nothing, allocate nothing and raise ValueError only."""

import pickle
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from safs.data import pickles
from safs.data.pickles import parse
from safs.data.stored import Span


def parsed(path, content):
    path.write_bytes(content)
    with path.open("rb") as file:
        return parse(file)


def read(path, content):
    """Read the arrays of a pickled list."""
    value = parsed(path, content)
    with path.open("rb") as file:
        return [array.read(file) for array in value]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_containers_and_numbers_are_read_unchanged(tmp_path, protocol):
    shared = ["twice"]
    value = {
        "a": [1, -1, 300, 70_000, 2**40, True, False, None, 0.5],
        "b": ((), (1,), (1, 2), (1, 2, 3, 4)),
        "é": shared,
    }
    value["again"] = shared

    got = parsed(tmp_path / "file", pickle.dumps(value, protocol))

    assert got == value
    assert got["again"] is got["é"]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("samples", [3, 400])
@pytest.mark.parametrize("dtype", ["u1", "<i8", ">i4", "<f4", "<f2", "?"])
def test_arrays_are_read_bit_by_bit(tmp_path, dtype, samples, protocol):
    rng = np.random.default_rng(0)
    array = rng.integers(0, 256, (samples, 6), dtype=np.uint8).astype(dtype)
    sent = [array, np.asfortranarray(array), array[0, 0], array[:, 0].copy()]

    got = read(tmp_path / "file", pickle.dumps(sent, protocol))

    for one, other in zip(sent, got, strict=True):
        assert other.dtype == one.dtype
        assert other.shape == one.shape
        assert other.tobytes() == one.tobytes()


def test_module_names_of_numpy_1_are_read(tmp_path):
    content = pickle.dumps([np.arange(5, dtype=np.uint8)], 2).replace(b"numpy._core.", b"numpy.core.")

    assert read(tmp_path / "file", content)[0].tolist() == [0, 1, 2, 3, 4]


def test_long_contents_stay_in_the_file(tmp_path):
    class Counting:
        """A file that counts the bytes read from it."""

        def __init__(self, file):
            self.file, self.bytes_read = file, 0
            self.fileno, self.seek = file.fileno, file.seek

        def read(self, size):
            self.bytes_read += size
            return self.file.read(size)

        def readline(self, size):
            self.bytes_read += size
            return self.file.readline(size)

    (tmp_path / "file").write_bytes(pickle.dumps({"data": np.zeros(10**6, np.uint8), "text": "x" * 10**6}, 3))

    with (tmp_path / "file").open("rb") as file:
        counting = Counting(file)
        value = parse(counting)

    assert value["data"].shape == (10**6,)
    assert value["text"] == Span(value["text"].start, 10**6, text=True)
    assert counting.bytes_read < 2000


class Touch:
    """Unpickles to a call that creates a file."""

    def __init__(self, path, function=Path.touch):
        self.call = function, (path,)

    def __reduce__(self):
        return self.call


class Reduced:
    """Unpickles to a call of any function."""

    def __init__(self, function, *arguments, state=None):
        self.call = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.call


class Fancy(np.ndarray):
    """A subclass of ndarray."""


def opcodes(text):
    """A pickle of protocol 2 from opcodes."""
    return b"\x80\x02" + text + b"."


def described(shape, dtype, content):
    """Unpickles to an array with the given shape, dtype and content."""
    reconstruct = np.zeros(0).__reduce__()[0]
    return Reduced(reconstruct, np.ndarray, (0,), b"b", state=(1, shape, dtype, False, content))


U1 = np.dtype(np.uint8)
LARGE = np.zeros(1000, np.uint8)
RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"
ENCODE = b"c_codecs\nencode\n"
LATIN1 = b"X\x06\x00\x00\x00latin1"
HOSTILE = {
    "os.system": (opcodes(b"cos\nsystem\nX\x04\x00\x00\x00true\x85R"), "names 'os.system'"),
    "eval": (pickle.dumps(Reduced(eval, "1 + 1"), 4), "names 'builtins.eval'"),
    "getattr": (pickle.dumps(Reduced(getattr, "a", "upper"), 2), "getattr'"),
    "numpy.load": (pickle.dumps(Reduced(np.load, "file.npy"), 3), "names 'numpy"),
    "a class": (pickle.dumps(Path("x"), 4), "names 'pathlib"),
    "a dotted name": (opcodes(b"cnumpy\nndarray.tofile\n)R"), "names 'numpy.ndarray.tofile'"),
    "another function of that module": (
        opcodes(b"cnumpy.core.multiarray\nfromfile\n)R"),
        "names 'numpy.core.mu",
    ),
    "a class that is called": (opcodes(b"cnumpy\nndarray\nK\x09\x85\x85R"), "calls numpy.ndarray"),
    "a name of a million bytes": (opcodes(b"c" + b"x" * 10**6 + b"\nx\n"), "a name of more than 256 bytes"),
    "a name that is not a string": (opcodes(b"K\x01K\x02\x93"), "a name is not a string"),
    "a call of a value": (opcodes(b"U\x01a)R"), "calls a value that is not a function"),
    "arguments that are not a tuple": (opcodes(b"cnumpy\ndtype\n]R"), "or without a tuple"),
    "another codec": (
        opcodes(ENCODE + b"X\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R"),
        "encodes a value that is not a byte",
    ),
    "an encoded array": (opcodes(ENCODE + b"]" + LATIN1 + b"\x86R"), "encodes a value that is not a byte"),
    "text beyond latin1": (
        opcodes(ENCODE + b"X\x03\x00\x00\x00\xe2\x82\xac" + LATIN1 + b"\x86R"),
        "latin-1",
    ),
    "an object array": (pickle.dumps(np.array([1, "a"], dtype=object), 3), "dtype 'O8'"),
    "an object array with a call": (pickle.dumps(np.array([Reduced(eval, "1")], dtype=object), 4), "dtype 'O8'"),
    "fields": (pickle.dumps(np.zeros(2, [("a", "i4")]), 3), "dtype 'V4'"),
    "texts": (pickle.dumps(np.array(["a"]), 3), "dtype 'U1'"),
    "dates": (pickle.dumps(np.zeros(2, "M8[ns]"), 3), "dtype 'M8'"),
    "a dtype with fields": (
        pickle.dumps([U1], 2).replace(b"NNNJ", b"NN}J"),
        "fields or metadata",
    ),
    "a subclass": (pickle.dumps(np.zeros(3).view(Fancy), 4), "names"),
    "a reconstructed dtype": (
        opcodes(RECONSTRUCT + b"cnumpy\ndtype\nK\x00\x85U\x01b\x87R"),
        "not a plain",
    ),
    "a shape in the constructor": (
        opcodes(RECONSTRUCT + b"cnumpy\nndarray\nJ\xff\xff\xff\x7f\x85U\x01b\x87R"),
        "not a plain",
    ),
    "huge sizes": (pickle.dumps(described((2**62, 2**62), U1, b"12"), 3), "bytes, and its content has 2"),
    "an overflowing product of sizes": (
        pickle.dumps(described((2**32, 2**32, 4), U1, b"12"), 3),
        "bytes, and its content has 2",
    ),
    "a negative size": (pickle.dumps(described((-1, -2), U1, b"12"), 3), "not a non-negative integer"),
    "a size that is a list": (pickle.dumps(described(([],), U1, b"12"), 3), "not a non-negative integer"),
    "64 dimensions": (pickle.dumps(described((1,) * 64, U1, b"1"), 3), "at most 4 sizes"),
    "a content that is a list": (pickle.dumps(described((2,), U1, [1, 2]), 3), "is not what numpy writes"),
    "a content that is too short": (
        pickle.dumps(described((3,), U1, b"12"), 3),
        "needs 3 bytes, and its content has 2",
    ),
    "a scalar of objects": (
        opcodes(b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x02O8K\x00K\x01\x87R]\x86R"),
        "dtype 'O8'",
    ),
    "a persistent id": (opcodes(b"U\x01aQ"), "instruction BINPERSID"),
    "a persistent id as a string": (opcodes(b"Pa\n"), "instruction PERSID"),
    "an extension": (opcodes(b"\x82\x01"), "instruction EXT1"),
    "an instance": (opcodes(b"(ios\nsystem\n"), "instruction INST"),
    "an object": (opcodes(b"(cos\nsystem\no"), "names 'os.system'"),
    "an object of a known name": (opcodes(b"(cnumpy\nndarray\no"), "instruction OBJ"),
    "a new object": (opcodes(b"cnumpy\nndarray\n)\x81"), "instruction NEWOBJ"),
    "a buffer from elsewhere": (b"\x80\x05\x97.", "instruction NEXT_BUFFER"),
    "a set": (pickle.dumps({1, 2}, 4), "instruction EMPTY_SET"),
    "a state for a dict": (opcodes(b"}}b"), "state of a dict"),
    "a state for a name": (opcodes(b"cnumpy\ndtype\n}b"), "state of a Name"),
    "an integer of 255 bytes": (opcodes(b"\x8a\xff" + b"\xff" * 255), "integer of 255 bytes"),
    "an integer of a million bytes": (opcodes(b"\x8b\x40\x42\x0f\x00" + b"\xff" * 10**6), "instruction LONG4"),
    "bytes without end": (opcodes(b"\x8e" + b"\xff" * 8), "truncated"),
    "bytes of 2 ** 40": (opcodes(b"\x8e" + struct.pack("<Q", 2**40)), "truncated"),
    "bytes of a negative length": (opcodes(b"T\xff\xff\xff\xff"), "truncated"),
    "a key that takes exponential time to hash": (
        opcodes(b"})" + b"q\x00h\x00\x86" * 100 + b"K\x01s"),
        "key that is a tuple",
    ),
    "an unhashable key": (opcodes(b"}]K\x01s"), "key that is a list"),
    "an odd number of items": (opcodes(b"}(K\x01u"), "sets items"),
    "items of a list": (opcodes(b"](K\x01K\x01u"), "sets items"),
    "an element of a tuple": (opcodes(b")K\x01a"), "appends to a value that is not a list"),
    "an empty stack": (opcodes(b"a"), "a value is missing"),
    "values from below a mark": (opcodes(b"K\x01(\x85"), "a value is missing"),
    "a missing mark": (opcodes(b"K\x01t"), "a mark is missing"),
    "a missing memo": (opcodes(b"h\x07"), "refers to a value that is not in the memo"),
    "a string that is not UTF-8": (opcodes(b"X\x01\x00\x00\x00\xff"), "utf-8"),
    "an unknown opcode": (opcodes(b"\xfe"), "the byte b'\\xfe'"),
    "nothing": (b"", "truncated"),
    "a text file": (b"hello, world", "not a pickle of protocol 2 to 5"),
    "protocol 0": (pickle.dumps({"data": [1]}, 0), "not a pickle of protocol 2 to 5"),
    "protocol 6": (b"\x80\x06N.", "not a pickle of protocol 2 to 5"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_malicious_or_damaged_pickle_is_refused_with_a_reason(tmp_path, case):
    content, message = HOSTILE[case]

    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the message is compared below, as text
        parsed(tmp_path / "file", content)

    assert message in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [x], lambda x: {"data": x}, lambda x: np.array([x], object)])
def test_a_pickled_call_does_not_run(tmp_path, wrap, protocol):
    marker = tmp_path / "ran"
    content = pickle.dumps(wrap(Touch(marker)), protocol)

    with pytest.raises(ValueError, match="it "):
        parsed(tmp_path / "file", content)

    assert not marker.exists()
    pickle.loads(content)  # noqa: S301  # shows that Python runs it
    assert marker.exists()


@pytest.mark.parametrize(
    "bomb",
    [
        opcodes(b"Nr\xff\xff\xff\xff"),  # C's unpickler would allocate 64 GB for the memo.
        opcodes(b"]" + b"q\x00h\x00h\x00\x86" * 1000),  # A copy would have 2 ** 1000 elements.
        opcodes(b"]q\x00h\x00a"),  # A list that contains itself.
        opcodes(b")" + b"\x85" * 20_000),  # Deeply nested tuples.
        opcodes(b"N" * 20_000),
        opcodes(b"(" * 20_000 + b"N"),
    ],
)
def test_memory_is_proportional_to_the_size_of_the_file(tmp_path, bomb):
    tracemalloc.start()
    try:
        parsed(tmp_path / "file", bomb)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak_bytes < 200 * len(bomb) + 2**20


def test_every_truncated_file_is_refused(tmp_path):
    content = pickle.dumps({"data": np.zeros(4, np.uint8), "labels": [1, 300, 70_000], "mean": np.zeros(2)}, 4)

    for size in range(len(content)):
        with pytest.raises(ValueError, match="truncated"):
            parsed(tmp_path / "file", content[:size])


def test_a_pickle_of_too_many_instructions_or_bytes_is_refused(tmp_path, monkeypatch):
    content = pickle.dumps(list(range(200)), 4)
    monkeypatch.setattr(pickles, "MAX_OPCODES", 100)
    with pytest.raises(ValueError, match="more than 100 instructions"):
        parsed(tmp_path / "file", content)
    monkeypatch.setattr(pickles, "MAX_FILE_BYTES", 100)
    with pytest.raises(ValueError, match="at most 100 are read"):
        parsed(tmp_path / "file", content)


def test_a_file_that_changes_after_parsing_is_refused(tmp_path):
    array = parsed(tmp_path / "file", pickle.dumps(LARGE, 3))
    (tmp_path / "file").write_bytes(b"short")

    with (
        (tmp_path / "file").open("rb") as file,
        pytest.raises(ValueError, match="needs 1,000 bytes, and its content has 0"),
    ):
        array.read(file)
