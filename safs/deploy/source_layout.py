"""Layout of generated code: long calls are broken as ruff and black break them."""

from collections.abc import Iterator, Sequence

WIDTH = 120
_OPEN, _CLOSE = "([{", ")]}"


def call(name: str, arguments: Sequence[str]) -> str:
    """A call on one line."""
    return f"{name}({', '.join(arguments)})"


def statement(prefix: str, code: str, indent: int) -> Iterator[str]:
    """The lines of ``prefix + code``, whose last bracket is broken if they are too long."""
    margin = " " * indent
    line = f"{margin}{prefix}{code}"
    at = _last_bracket(code)
    if len(line) <= WIDTH or at is None:
        yield line
        return
    head, inside = code[: at + 1], code[at + 1 : -1]
    yield f"{margin}{prefix}{head}"
    if len(margin) + 4 + len(inside) <= WIDTH:
        yield f"{margin}    {inside}"
    else:
        for item in _items(inside):
            *lines, last = statement("", item, indent + 4)
            yield from lines
            yield f"{last},"
    yield f"{margin}{code[-1]}"


def _last_bracket(code: str) -> int | None:
    """Position of the bracket that the last character closes; None if that is no bracket or it is empty."""
    if not code or code[-1] not in _CLOSE:
        return None
    depth = 0
    for position in range(len(code) - 1, -1, -1):
        depth += (code[position] in _CLOSE) - (code[position] in _OPEN)
        if depth == 0:
            return position if position < len(code) - 2 else None
    return None


def _items(inside: str) -> Iterator[str]:
    depth, start = 0, 0
    for position, letter in enumerate(inside):
        depth += (letter in _OPEN) - (letter in _CLOSE)
        if letter == "," and depth == 0:
            yield inside[start:position].strip()
            start = position + 1
    if inside[start:].strip():
        yield inside[start:].strip()
