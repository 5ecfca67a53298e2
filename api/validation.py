"""Pydantic's validation errors as dotted paths and sentences that name the value."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from types import NoneType
from typing import Any, get_args, get_origin

from pydantic import BaseModel, Field

from safs.spec.job import JobSpec


class FieldError(BaseModel):
    """An invalid field or parameter of a request."""

    field: str = Field(
        description="Dotted path in the body, or the name of the parameter.", examples=["model.architecture"]
    )
    message: str = Field(description="Why the value is invalid, and which values are valid.")


def field_errors(found: Sequence[Mapping[str, Any]], body: Any, model: type[BaseModel] = JobSpec) -> list[FieldError]:
    """One ``FieldError`` per field; the messages of several union members about one field are joined.

    If errors exist for a field and for a part of it, only those for the part are returned, since they are more precise.

    Args:
        found: ``RequestValidationError.errors()``.
        body: the parsed body, which distinguishes keys of the path from pydantic's labels of union members.
        model: type of the body, whose keys are named if one is unknown.
    """
    messages: dict[str, list[str]] = {}
    for error in found:
        path = _path(error["loc"], body, absent=error["type"] == "missing")
        message = _message(error, path, model)
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
        absent: True if the error is that the path's last key is missing from the body.
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


def _message(error: Mapping[str, Any], path: Sequence[str | int], model: type[BaseModel]) -> str:
    match error["type"]:
        case "missing":
            return "this field is required"
        case "extra_forbidden":
            return _unknown_key(path, model)
        case "value_error":
            return str(error["ctx"]["error"])
        case _:
            given = error["input"]
            shown = f", not {given!r:.80}" if isinstance(given, str | int | float | bool | None) else ""
            return f"{error['msg'][:1].lower()}{error['msg'][1:]}{shown}"


def _unknown_key(path: Sequence[str | int], model: type[BaseModel]) -> str:
    section: Any = model
    for part in path[:-1]:
        if isinstance(part, int):  # an item of a list
            (section,) = get_args(section)
        else:
            section = _section(section.model_fields[part].annotation)
    known = list(section.model_fields)
    close = get_close_matches(str(path[-1]), known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"unknown key.{hint} Known: {', '.join(known)}."


def _section(annotation: Any) -> Any:
    """The section type of a field's annotation, without None."""
    if get_origin(annotation) is list:
        return annotation
    return next((member for member in get_args(annotation) if member is not NoneType), annotation)
