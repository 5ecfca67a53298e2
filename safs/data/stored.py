"""Arrays as a pickle describes them: dtype, shape, and the position of their content in the file."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

MAX_DIMENSIONS = 4
"""Largest number of dimensions of an array that is read."""


@dataclass(frozen=True, slots=True)
class Span:
    """A long byte string, or string in UTF-8, whose content is still in the file."""

    start: int
    """Offset of the content in the file, in bytes."""
    size: int
    """Length of the content, in bytes."""
    text: bool
    """True for a string, False for a byte string."""

    def read(self, file: BinaryIO) -> bytes:
        """The bytes. Python 3 writes bytes in protocol 2 as a string with one character 0 to 255 for each byte."""
        file.seek(self.start)
        content = file.read(self.size)
        return content.decode().encode("latin1") if self.text else content


Content: TypeAlias = bytes | Span


class StoredType:
    """A dtype of plain numbers."""

    def __init__(self, code: str) -> None:
        if not re.fullmatch(r"b1|[iu][1248]|f[248]", code):
            raise ValueError(f"it has an array of dtype {_quoted(code)}; only plain numbers are read")
        self._code, self._order = code, "="

    def set_state(self, state: object) -> None:
        """Set the byte order; refuses fields, subarrays and metadata."""
        match state:
            case (3, str() | bytes() as order, None, None, None, -1, -1, 0) if (order := _text(order)) in set("<>|="):
                self._order = order
            case _:
                raise ValueError("it has an array of a dtype with fields or metadata; only plain numbers are read")

    @property
    def dtype(self) -> "np.dtype[np.generic]":
        return np.dtype(self._order.replace("|", "=") + self._code)


class StoredArray:
    """An array; its content may still be in the file."""

    def __init__(self) -> None:
        self._fill((0,), np.dtype(np.uint8), "C", b"")

    @classmethod
    def of(cls, shape: object, dtype: StoredType, order: Literal["C", "F"], content: Content) -> "StoredArray":
        made = cls()
        made._fill(_checked(shape), dtype.dtype, order, content)
        return made

    def set_state(self, state: object) -> None:
        """Set shape, dtype and content from the state that ``ndarray.__reduce__`` gives."""
        match state:
            case (
                int(),
                tuple() as shape,
                StoredType() as dtype,
                bool() | 0 | 1 as by_column,
                bytes() | Span() as content,
            ):
                self._fill(_checked(shape), dtype.dtype, "F" if by_column else "C", content)
            case _:
                raise ValueError("it is damaged: the state of an array is not what numpy writes")

    def read(self, file: BinaryIO) -> NDArray[np.generic]:
        """The array, read-only.

        Args:
            file: the pickle that describes the array.

        Raises:
            ValueError: the content is shorter or longer than the shape says.
        """
        content = self._content if isinstance(self._content, bytes) else self._content.read(file)
        self._check_size(len(content), len(content))
        return np.frombuffer(content, self.dtype).reshape(self.shape, order=self._order)

    def _fill(
        self, shape: tuple[int, ...], dtype: "np.dtype[np.generic]", order: Literal["C", "F"], content: Content
    ) -> None:
        self.shape, self.dtype, self._order, self._content = shape, dtype, order, content
        if isinstance(content, bytes):
            self._check_size(len(content), len(content))
        else:  # A character 0 to 255 takes one or two bytes in UTF-8.
            self._check_size(math.ceil(content.size / 2) if content.text else content.size, content.size)

    def _check_size(self, least: int, most: int) -> None:
        needed = math.prod(self.shape) * self.dtype.itemsize
        if not least <= needed <= most:
            raise ValueError(
                f"it has an array of shape {self.shape} that needs {needed:,} bytes, and its content has {most:,}"
            )


@dataclass(frozen=True, slots=True)
class Name:
    """A function or class that numpy names in a pickle. It is never imported."""

    module: str
    name: str

    @classmethod
    def known(cls, module: str, name: str) -> "Name":
        """The name; raises ValueError unless numpy writes it for an array."""
        if name not in _MODULES or module not in _MODULES[name]:
            raise ValueError(f"it names {_quoted(f'{module}.{name}')}, which is not part of an array of numbers")
        return cls(module, name)


def call(name: Name, arguments: tuple[object, ...]) -> object:
    """Stand-in for the value that a call of ``name`` with ``arguments`` would return."""
    if name.name not in _CALLS:
        raise ValueError(f"it calls {name.module}.{name.name}, which numpy never does")
    return _CALLS[name.name](arguments)


def _reconstruct(arguments: tuple[object, ...]) -> StoredArray:
    match arguments:
        case (Name(name="ndarray"), (0,), b"b"):
            return StoredArray()
    raise ValueError("it has an array that is not a plain numpy.ndarray")


def _frombuffer(arguments: tuple[object, ...]) -> StoredArray:
    match arguments:
        case (bytes() | Span(text=False) as content, StoredType() as dtype, shape, "C" | "F" as order):
            return StoredArray.of(shape, dtype, order, content)
    raise ValueError("it is damaged: the arguments of an array are not what numpy writes")


def _scalar(arguments: tuple[object, ...]) -> StoredArray:
    match arguments:
        case (StoredType() as dtype, bytes() as content):
            return StoredArray.of((), dtype, "C", content)
    raise ValueError("it has a numpy scalar that is not a number")


def _dtype(arguments: tuple[object, ...]) -> StoredType:
    match arguments:
        case (str() | bytes() as code, bool() | 0 | 1, bool() | 0 | 1):  # numpy's align and copy.
            return StoredType(_text(code))
    raise ValueError("it is damaged: the arguments of a dtype are not what numpy writes")


def _encode(arguments: tuple[object, ...]) -> Content:
    match arguments:
        case (str() as text, "latin1"):
            return text.encode("latin1")
        case (Span(text=True) as span, "latin1"):
            return span
    raise ValueError("it encodes a value that is not a byte string of protocol 2")


_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
_MODULES: Mapping[str, tuple[str, ...]] = {
    "_reconstruct": _MULTIARRAY,
    "scalar": _MULTIARRAY,
    "_frombuffer": ("numpy.core.numeric", "numpy._core.numeric"),
    "ndarray": ("numpy",),
    "dtype": ("numpy",),
    "encode": ("_codecs",),
}
"""Name -> its modules in numpy 1 and numpy 2."""
_CALLS: Mapping[str, Callable[[tuple[object, ...]], object]] = {
    "_reconstruct": _reconstruct,
    "scalar": _scalar,
    "_frombuffer": _frombuffer,
    "dtype": _dtype,
    "encode": _encode,
}


def _checked(shape: object) -> tuple[int, ...]:
    if not isinstance(shape, tuple) or len(shape) > MAX_DIMENSIONS:
        raise ValueError(f"it has an array whose shape is not a tuple of at most {MAX_DIMENSIONS} sizes")
    if not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError("it has an array with a size that is not a non-negative integer")
    return shape


def _text(value: str | bytes) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else value


def _quoted(text: str) -> str:
    """A string from a file in ASCII, shortened for an error message."""
    return ascii(text if len(text) <= 60 else text[:60] + "...")
