"""Strict reading of what people write: numbers are numbers, unknown keys are errors, and every value can be stored."""

from collections.abc import Iterator
from inspect import isclass
from math import isfinite
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

DEEPEST = 4
"""Levels of objects and lists in options."""
LONGEST_NAME = 200
"""Characters in the name of an option."""
LARGEST = 2**53
"""Largest number in options. Up to here a double holds every integer exactly, and some JSON readers use doubles."""


class Plain(BaseModel):
    """A frozen model that refuses unknown keys, and ``true`` or ``"1"`` where a number belongs, which pydantic accepts.

    >>> class Bath(Plain):
    ...     depth_m: float
    >>> Bath(depth_m="0.5")
    Traceback (most recent call last):
    ...
    pydantic_core._pydantic_core.ValidationError: 1 validation error for Bath
    depth_m
      Input should be a number, written without quotes [type=number_as_text, input_value='0.5', input_type=str]
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    @field_validator("*", mode="before")
    @classmethod
    def _numbers_are_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool | str):
            assert info.field_name is not None
            kinds = set(_kinds(cls.model_fields[info.field_name].annotation))
            if {int, float} & kinds and type(value) not in kinds and value not in kinds:
                if isinstance(value, bool):
                    raise PydanticCustomError("number_as_truth_value", "Input should be a number")
                if _is_number(value):
                    raise PydanticCustomError("number_as_text", "Input should be a number, written without quotes")
        return value


def storable(text: str) -> str:
    """Return ``text`` if a database and a JSON answer can hold it.

    Raises:
        ValueError: ``text`` holds NUL or a lone surrogate.
    """
    if not text.isprintable():  # True for most text, and fast.
        if "\0" in text:
            raise ValueError(f"{text!a:.100} holds NUL, which cannot be stored; leave it out")
        if any("\ud800" <= each <= "\udfff" for each in text):
            raise ValueError(f"{text!a:.100} holds half of a character (a lone surrogate); write it in UTF-8")
    return text


def storable_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return ``options`` if they can be stored. Their names and values are checked later, by the method or strategy.

    >>> storable_options({"levels": [0.5, 1], "range": {"low": 1, "high": 2}})
    {'levels': [0.5, 1], 'range': {'low': 1, 'high': 2}}

    Raises:
        ValueError: nesting deeper than ``DEEPEST``, an invalid name or text, or a number beyond ``LARGEST``.
    """
    _check_option(options, levels=DEEPEST)
    return options


def _check_option(value: Any, *, levels: int) -> None:
    match value:
        case str():
            storable(value)
        case int() | float() if not abs(value) <= LARGEST:  # True for NaN as well.
            raise ValueError("a number of the options is not within -2^53 and 2^53; write a smaller one")
        case dict() | list() if levels == 0:
            raise ValueError(f"options have at most {DEEPEST} levels of objects and lists; write flatter ones")
        case dict():
            for name, inner in value.items():
                _check_name(name)
                _check_option(inner, levels=levels - 1)
        case list():
            for inner in value:
                _check_option(inner, levels=levels - 1)


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not 1 <= len(name) <= LONGEST_NAME:
        raise ValueError(
            f"{name!a:.50} cannot be the name of an option; names are text of 1 to {LONGEST_NAME} characters"
        )
    storable(name)


def _kinds(annotation: Any) -> Iterator[Any]:
    """Yield the types and literals that a field accepts."""
    inner = get_args(annotation)
    if isclass(annotation) or not inner:
        yield annotation
    for each in inner:
        yield from _kinds(each)


def _is_number(text: str) -> bool:
    try:
        return isfinite(float(text))
    except ValueError:
        return False
