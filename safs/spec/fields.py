"""Types of fields that several sections of a job spec share."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from safs.spec.strict import Plain, storable, storable_options

Name = Annotated[str, Field(min_length=1, max_length=200)]

PathText = Annotated[str, Field(min_length=1, max_length=4096)]
"""A path, as long as Linux takes one."""

Label = Annotated[str, Field(max_length=200), AfterValidator(storable)]

FreeOptions = Annotated[dict[str, Any], AfterValidator(storable_options)]

Epochs = Annotated[int, Field(ge=1, le=10_000)]

Trials = Annotated[int, Field(ge=1, le=10_000)]


def filled(default: Any, **constraints: Any) -> Any:
    """A field whose missing value a preset or a pruning method fills in; ``default`` is used if neither does.

    The JSON schema states no ``default`` for it. Generated clients send every default that a schema states, and a value
    that is sent overrides the preset and the method.
    """
    return Field(default, json_schema_extra=_without_default, **constraints)


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


class Section(Plain):
    """A part of a job spec."""
