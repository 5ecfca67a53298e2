"""Job specs as JSON: values of Python and numpy as the service can read them."""

from collections.abc import Mapping
from math import isfinite
from pathlib import PurePath
from typing import Any

from safs.client.errors import ServiceError

MAX_DEPTH = 50


def as_json(value: Any, where: str = "", depth: int = 0) -> Any:
    """``value`` as plain JSON: paths as text, numpy's scalars and arrays as numbers and lists.

    >>> as_json({"model": {"weights": PurePath("dense.safetensors")}, "sparsity": 0.9})
    {'model': {'weights': 'dense.safetensors'}, 'sparsity': 0.9}

    Raises:
        ServiceError: JSON cannot hold the value; the message names its place (``invalid_spec``).
    """
    if depth > MAX_DEPTH:
        raise _invalid(f"{where} is nested too deeply; a job has at most {MAX_DEPTH} levels")
    match value:
        case None | bool():
            return value
        case str():
            return str(value)
        case int():
            return int(value)
        case float():
            if not isfinite(value):
                raise _invalid(f"{where} is {value}, which is not a finite number")
            return float(value)
        case PurePath():
            return str(value)
        case Mapping():
            return {
                _key(key, where): as_json(item, f"{where}.{key}".lstrip("."), depth + 1) for key, item in value.items()
            }
        case list() | tuple():
            return [as_json(item, f"{where}[{index}]", depth + 1) for index, item in enumerate(value)]
        case _ if hasattr(value, "tolist"):  # numpy's scalars and arrays
            return as_json(value.tolist(), where, depth + 1)
        case _:
            raise _invalid(f"{where} is a {type(value).__name__}, which JSON does not have")


def with_weights(spec: Mapping[str, Any], upload: str) -> dict[str, Any]:
    """``spec`` with the id of an upload as ``model.weights``.

    Raises:
        ServiceError: ``model`` is not a mapping.
    """
    model = spec.get("model", {})
    if not isinstance(model, Mapping):
        raise _invalid(f"model is {model!r}; give a mapping such as {{'architecture': {model!r}}}")
    return {**spec, "model": {**model, "weights": upload}}


def with_upload(data: Any, upload: str) -> dict[str, Any]:
    """The section ``data`` of a job on an upload; ``data`` are its other fields, if they are a mapping."""
    return {**(data if isinstance(data, Mapping) else {}), "dataset": "upload", "upload": upload}


def _key(key: Any, where: str) -> str:
    if not isinstance(key, str):
        raise _invalid(f"the key {key!r}{f' in {where}' if where else ''} is not a text")
    return key


def _invalid(message: str) -> ServiceError:
    return ServiceError("invalid_spec", message)
