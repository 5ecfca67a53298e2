"""Numbers of a job must not be truth values: pydantic takes ``true`` for 1, a schema does not.

Texts that are numbers are taken: in a YAML file, ``1e-3`` without a point is one.
"""

from collections.abc import Iterator
from inspect import isclass
from typing import Any, get_args

from pydantic import BaseModel


def refuse_truth_values(annotation: Any, value: Any, path: str) -> None:
    """Raises ``ValueError`` if ``value``, or a part of it, is true or false where a number belongs.

    Args:
        annotation: of the field that takes it; sections are looked into.
        path: the field's name, for the message.
    """
    kinds = [kind for kind in _kinds(annotation) if isclass(kind)]
    if isinstance(value, dict):
        for section in kinds:
            if issubclass(section, BaseModel):
                for name in section.model_fields.keys() & value.keys():
                    refuse_truth_values(section.model_fields[name].annotation, value[name], f"{path}.{name}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            refuse_truth_values(annotation, item, f"{path}.{number}")
    elif isinstance(value, bool) and {int, float} & set(kinds) and bool not in kinds:
        raise ValueError(f"{path} is {str(value).lower()}, which is no number")


def _kinds(annotation: Any) -> Iterator[Any]:
    yield annotation
    for inner in get_args(annotation):
        yield from _kinds(inner)
