"""Pydantic's complaints about a request, as dotted paths and sentences that name the value."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from types import NoneType
from typing import Any, get_args

from pydantic import BaseModel, Field

from safs.spec.job import JobSpec


class FieldError(BaseModel):
    """What is wrong with one part of a request."""

    field: str = Field(description="Dotted path in the body, or the parameter's name.", examples=["model.architecture"])
    message: str = Field(description="What is wrong with it, and what would be right.")


def field_errors(found: Sequence[Mapping[str, Any]], body: Any) -> list[FieldError]:
    """One entry a field; complaints about the same field (by the members of a union) are joined.

    A member that looked deeper into a value knows more about it, so it is heard alone.

    Args:
        found: ``RequestValidationError.errors()``.
        body: what the request held, to tell the path's keys from pydantic's own labels of union members.
    """
    messages: dict[str, list[str]] = {}
    for error in found:
        path = _path(error["loc"], body, absent=error["type"] == "missing")
        message = _message(error, path)
        lines = messages.setdefault(".".join(map(str, path)) or "body", [])
        if message not in lines:
            lines.append(message)
    return [
        FieldError(field=field, message="; or ".join(lines))
        for field, lines in messages.items()
        if not any(other.startswith(f"{field}.") for other in messages)
    ]


def _path(loc: Iterable[str | int], body: Any, *, absent: bool) -> list[str | int]:
    """``loc`` without its source ("body", "query") and without labels of union members ("literal['auto']").

    Args:
        absent: the path's last key is not in the body, which is the complaint.
    """
    source, *parts = loc
    if source != "body":
        return parts
    path: list[str | int] = []
    value = body
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        match value:
            case dict() if part in value or (absent and last):
                value = value.get(part)
            case list() if isinstance(part, int) and part < len(value):
                value = value[part]
            case _:
                continue
        path.append(part)
    return path


def _message(error: Mapping[str, Any], path: Sequence[str | int]) -> str:
    match error["type"]:
        case "missing":
            return "this field must be given"
        case "extra_forbidden":
            return _unknown_key(path)
        case "value_error":
            return str(error["ctx"]["error"])
        case _:
            given = error["input"]
            shown = f", not {given!r:.80}" if isinstance(given, str | int | float | bool | None) else ""
            return f"{error['msg'][:1].lower()}{error['msg'][1:]}{shown}"


def _unknown_key(path: Sequence[str | int]) -> str:
    section: Any = JobSpec
    for part in path[:-1]:
        section = _section(section.model_fields[str(part)].annotation)
    known = list(section.model_fields)
    close = get_close_matches(str(path[-1]), known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"there is no such key.{hint} Known: {', '.join(known)}."


def _section(annotation: Any) -> Any:
    """The section that a field holds; of one that may be left out as null, the section itself."""
    return next((member for member in get_args(annotation) if member is not NoneType), annotation)
