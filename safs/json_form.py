"""Values as JSON and back: the one way for everything that is stored, sent or written to a result folder."""

from dataclasses import fields, is_dataclass
from functools import cache
from math import isfinite
from typing import Any, TypeVar

from pydantic import TypeAdapter

Value = TypeVar("Value")


def to_json(value: Any) -> Any:
    """``value`` as plain JSON: objects for dataclasses, lists for tuples, null for NaN and infinities.

    >>> to_json({"loss": float("inf"), "shape": (3, 3)})
    {'loss': None, 'shape': [3, 3]}
    """
    match value:
        case float() if not isfinite(value):
            return None
        case dict():
            return {key: to_json(item) for key, item in value.items()}
        case list() | tuple():
            return [to_json(item) for item in value]
        case _ if is_dataclass(value):
            return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
        case _:
            return value


def from_json(kind: type[Value], data: Any) -> Value:
    """The ``kind`` that ``to_json`` made ``data`` from. Unknown fields are ignored; missing ones get their defaults.

    Finite numbers come back bit for bit. The type of a field says how null is read (see ``safs.trials.Loss``).

    Raises:
        pydantic.ValidationError: ``data`` does not describe a ``kind``.
    """
    hashable: Any = kind  # as every class is, which mypy does not see
    value: Value = _adapter(hashable).validate_python(data)
    return value


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
