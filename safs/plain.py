"""What people write into a job: numbers are numbers, misspelt keys are errors."""

from collections.abc import Iterator
from inspect import isclass
from math import isfinite
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError


class Plain(BaseModel):
    """Frozen; pydantic would take ``true`` and ``"1"`` for 1, this does not.

    >>> class Bath(Plain):
    ...     depth_m: float
    >>> Bath(depth_m="0.5")
    Traceback (most recent call last):
    ...
    pydantic_core._pydantic_core.ValidationError: 1 validation error for Bath
    depth_m
      Input should be a number, written without quotes [type=number_as_text, input_value='0.5', input_type=str]
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

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


def _kinds(annotation: Any) -> Iterator[Any]:
    """The types that a field takes, and its literals."""
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
