"""Safe reader for pickles of numpy arrays and plain containers. It imports and calls nothing that a file names.

Python's ``pickle`` imports and calls whatever a file names. This reader runs only those opcodes of protocols 2 to 5
that arrays, numbers, strings, lists, tuples and dicts need, on a stack of plain values. The names that numpy writes for
an array are mapped to functions of ``safs.data.stored``. Any other name or opcode is refused. Long contents stay in the
file until an array is read, so the file's size and ``MAX_OPCODES`` bound memory and time.
"""

import os
import pickletools
import struct
from collections.abc import Callable, Mapping
from typing import BinaryIO

from safs.data.stored import Content, Name, Span, StoredArray, StoredType, call

MAX_FILE_BYTES = 256 * 2**20
"""Largest file in bytes. One of ImageNet16's ten files has 99 MB, 1.5 times as much in Python 3's protocol 2."""
MAX_OPCODES = 2_000_000
"""Largest number of opcodes. One ImageNet16 file needs 130,000, ten times as many if labels are numpy scalars."""
SHORT = 256
"""Longest string or byte string, in bytes, that is read at once; a longer one stays in the file as a ``Span``."""
PROTOCOLS = range(2, 6)


def parse(file: BinaryIO) -> object:
    """The value that ``file`` pickles, with a ``StoredArray`` in place of every array.

    Numbers, strings and containers are Python's. Byte strings that are dict keys, as Python 2 writes them, become
    strings. Long strings and byte strings become ``Span``s.

    Raises:
        ValueError: the file is damaged, too large, or holds anything else; the message says what.
    """
    size_bytes = os.fstat(file.fileno()).st_size
    if size_bytes > MAX_FILE_BYTES:
        raise ValueError(f"it has {size_bytes:,} bytes; at most {MAX_FILE_BYTES:,} are read")
    return _Machine(file, size_bytes).run()


class _Machine:
    """Pickle machine: a stack, marks and a memo. Every operation checks its operands."""

    def __init__(self, file: BinaryIO, size_bytes: int) -> None:
        self._file, self._position, self._size_bytes = file, 0, size_bytes
        self._stack: list[object] = []
        self._marks: list[int] = []
        self._memo: dict[int, object] = {}

    def run(self) -> object:
        if self.take(1) != b"\x80" or self.number("<B") not in PROTOCOLS:
            raise ValueError(f"it is not a pickle of protocol {PROTOCOLS[0]} to {PROTOCOLS[-1]}")
        for _ in range(MAX_OPCODES):
            code = self.take(1)
            if code == b".":
                return self.pop()
            if code not in _OPERATIONS:
                raise ValueError(f"it has {_name_of(code)}, which no array or plain container needs")
            _OPERATIONS[code](self)
        raise ValueError(f"it has more than {MAX_OPCODES:,} instructions")

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes; ``size`` is small."""
        content = self._file.read(size)
        if len(content) != size:
            raise ValueError("it is truncated")
        self._position += size
        return content

    def number(self, form: str) -> int:
        value: int = struct.unpack(form, self.take(struct.calcsize(form)))[0]
        return value

    def content(self, form: str, *, text: bool) -> str | Content:
        """A string or a byte string, preceded by its length in struct format ``form``."""
        size = self.number(form)
        if not 0 <= size <= self._size_bytes - self._position:
            raise ValueError("it is truncated")
        if size <= SHORT:
            content = self.take(size)
            return content.decode() if text else content
        span = Span(self._position, size, text)
        self._position = self._file.seek(self._position + size)
        return span

    def line(self) -> str:
        """A name that ends with a newline."""
        line = self._file.readline(SHORT)
        if not line.endswith(b"\n"):
            raise ValueError(f"it is truncated, or has a name of more than {SHORT} bytes")
        self._position += len(line)
        return line[:-1].decode()

    def push(self, value: object) -> None:
        self._stack.append(value)

    def pop(self) -> object:
        self.top()
        return self._stack.pop()

    def top(self) -> object:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise ValueError("it is damaged: a value is missing")
        return self._stack[-1]

    def mark(self) -> None:
        self._marks.append(len(self._stack))

    def pop_to_mark(self) -> list[object]:
        if not self._marks:
            raise ValueError("it is damaged: a mark is missing")
        start = self._marks.pop()
        values = self._stack[start:]
        del self._stack[start:]
        return values

    def memoize(self, index: int | None = None) -> None:
        self._memo[len(self._memo) if index is None else index] = self.top()

    def recall(self, index: int) -> None:
        if index not in self._memo:
            raise ValueError("it is damaged: it refers to a value that is not in the memo")
        self.push(self._memo[index])

    def push_tuple(self, size: int) -> None:
        values = [self.pop() for _ in range(size)]
        self.push(tuple(reversed(values)))

    def append(self, values: list[object]) -> None:
        target = self.top()
        if type(target) is not list:
            raise ValueError("it is damaged: it appends to a value that is not a list")
        target.extend(values)

    def set_items(self, values: list[object]) -> None:
        target = self.top()
        if type(target) is not dict or len(values) % 2:
            raise ValueError("it is damaged: it sets items of a value that is not a dict, or an odd number of them")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if type(key) not in (str, bytes, int):  # Other keys may be unhashable, or take exponential time to hash.
                raise ValueError(f"it has a dict with a key that is a {type(key).__name__}, not a str, bytes or int")
            target[key.decode("latin1") if isinstance(key, bytes) else key] = value

    def push_name(self, module: object, name: object) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("it is damaged: a name is not a string")
        self.push(Name.known(module, name))

    def call(self) -> None:
        arguments, name = self.pop(), self.pop()
        if not isinstance(name, Name) or not isinstance(arguments, tuple):
            raise ValueError("it is damaged: it calls a value that is not a function, or without a tuple")
        self.push(call(name, arguments))

    def build(self) -> None:
        state, target = self.pop(), self.top()
        if not isinstance(target, StoredArray | StoredType):
            raise ValueError(f"it sets the state of a {type(target).__name__}, which has none")
        target.set_state(state)


def _name_of(code: bytes) -> str:
    names = {opcode.code: opcode.name for opcode in pickletools.opcodes}
    name = names.get(code.decode("latin1"))
    return f"the instruction {name}" if name else f"the byte {code!r}"


def _long(machine: _Machine) -> None:
    size = machine.number("<B")
    if size > 8:
        raise ValueError(f"it has an integer of {size} bytes; at most 8 are read")
    machine.push(int.from_bytes(machine.take(size), "little", signed=True))


def _stack_name(machine: _Machine) -> None:
    name, module = machine.pop(), machine.pop()
    machine.push_name(module, name)


def _set_item(machine: _Machine) -> None:
    value, key = machine.pop(), machine.pop()
    machine.set_items([key, value])


_OPERATIONS: Mapping[bytes, Callable[[_Machine], object]] = {
    b"\x95": lambda machine: machine.take(8),  # FRAME: a hint how much to read ahead.
    b"N": lambda machine: machine.push(None),
    b"\x88": lambda machine: machine.push(True),
    b"\x89": lambda machine: machine.push(False),
    b"J": lambda machine: machine.push(machine.number("<i")),
    b"K": lambda machine: machine.push(machine.number("<B")),
    b"M": lambda machine: machine.push(machine.number("<H")),
    b"\x8a": _long,
    b"G": lambda machine: machine.push(machine.number(">d")),
    b"U": lambda machine: machine.push(machine.content("<B", text=False)),
    b"T": lambda machine: machine.push(machine.content("<i", text=False)),
    b"C": lambda machine: machine.push(machine.content("<B", text=False)),
    b"B": lambda machine: machine.push(machine.content("<I", text=False)),
    b"\x8e": lambda machine: machine.push(machine.content("<Q", text=False)),
    b"\x96": lambda machine: machine.push(machine.content("<Q", text=False)),
    b"\x8c": lambda machine: machine.push(machine.content("<B", text=True)),
    b"X": lambda machine: machine.push(machine.content("<I", text=True)),
    b"\x8d": lambda machine: machine.push(machine.content("<Q", text=True)),
    b"]": lambda machine: machine.push([]),
    b"}": lambda machine: machine.push({}),
    b")": lambda machine: machine.push(()),
    b"t": lambda machine: machine.push(tuple(machine.pop_to_mark())),
    b"\x85": lambda machine: machine.push_tuple(1),
    b"\x86": lambda machine: machine.push_tuple(2),
    b"\x87": lambda machine: machine.push_tuple(3),
    b"(": lambda machine: machine.mark(),
    b"a": lambda machine: machine.append([machine.pop()]),
    b"e": lambda machine: machine.append(machine.pop_to_mark()),
    b"s": _set_item,
    b"u": lambda machine: machine.set_items(machine.pop_to_mark()),
    b"\x94": lambda machine: machine.memoize(),
    b"q": lambda machine: machine.memoize(machine.number("<B")),
    b"r": lambda machine: machine.memoize(machine.number("<I")),
    b"h": lambda machine: machine.recall(machine.number("<B")),
    b"j": lambda machine: machine.recall(machine.number("<I")),
    b"c": lambda machine: machine.push_name(machine.line(), machine.line()),
    b"\x93": _stack_name,
    b"R": lambda machine: machine.call(),
    b"b": lambda machine: machine.build(),
}
"""Opcode -> operation; ``pickletools`` documents each opcode."""
