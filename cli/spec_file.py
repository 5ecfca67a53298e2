"""Job specs from YAML or JSON files and from options, as plain mappings. The service or ``JobSpec`` validates them."""

import codecs
import re
import sys
from collections.abc import Hashable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import yaml

from cli.errors import CommandError

Spec = dict[str, Any]

MAX_DEPTH = 50
MAX_VALUES = 100_000
"""Largest number of values in a spec; YAML's aliases can repeat a value without end."""
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class _Loader(yaml.SafeLoader):
    """Reads numbers and dates as JSON has them, and refuses a key that occurs twice.

    In YAML 1.1, ``1e-3`` and ``1.0e3`` are texts, and ``2026-01-31`` is a date.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} occurs twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"),  # as the core schema of YAML 1.2
    list("-+.0123456789"),
)


def read_spec(path: str) -> Spec:
    """The spec in a YAML or JSON file; ``-`` reads standard input.

    Raises:
        CommandError: the file cannot be read, is not YAML, or has values that JSON does not have.
    """
    where = "standard input" if path == "-" else path
    text = _text(path, where)
    try:
        spec = _Loader(text).get_single_data()
        if not isinstance(spec, dict):
            raise CommandError(f"{where} must hold a mapping with at least model, data, and sparsity or target")
        _check(spec, where, "", 0, [MAX_VALUES])
    except yaml.YAMLError as error:
        raise CommandError(f"{where} is not valid YAML: {' '.join(str(error).split())}") from error
    except RecursionError:
        raise CommandError(f"{where} is nested too deeply; at most {MAX_DEPTH} levels are read") from None
    except (ValueError, TypeError) as error:  # such as a date of the 32nd
        raise CommandError(f"{where} has a value that cannot be read: {error}") from error
    return spec


def with_local_files(spec: Spec, path: str) -> Spec:
    """The spec, with the files of ``model`` and ``data`` relative to the folder of the file at ``path``.

    ``~`` is expanded.
    """
    folder = Path() if path == "-" else Path(path).expanduser().parent
    for name, key in (("model", "weights"), ("model", "network"), ("data", "upload")):
        section = spec.get(name)
        file = section.get(key) if isinstance(section, dict) else None
        if isinstance(section, dict) and isinstance(file, str):
            spec = spec | {name: section | {key: str(folder / Path(file).expanduser())}}
    return spec


def one_or_several(values: Sequence[float] | None) -> float | list[float] | None:
    """The value of an option that can be repeated: a number if it was given once, None if it was not given.

    >>> one_or_several([0.9]), one_or_several([0.9, 0.99]), one_or_several(None)
    (0.9, [0.9, 0.99], None)
    """
    if not values:
        return None
    return values[0] if len(values) == 1 else list(values)


def override(spec: Mapping[str, Any], flags: Mapping[str, Any]) -> Spec:
    """``spec`` with the options that were given. An option's name is a dotted path; None means not given.

    Of ``sparsity`` and ``target``, the one that is given replaces the other one of ``spec``.

    >>> override({"model": {"architecture": "mlp"}, "seed": 1}, {"model.architecture": "lenet5", "seed": None})
    {'model': {'architecture': 'lenet5'}, 'seed': 1}
    >>> override({"sparsity": 0.9}, {"sparsity": None, "target": {"flops": 0.3}})
    {'target': {'flops': 0.3}}
    """
    merged = dict(spec)
    for name, other in (("sparsity", "target"), ("target", "sparsity")):
        if flags.get(name) is not None:
            merged.pop(other, None)
    for name, value in flags.items():
        if value is None:
            continue
        section, _, key = name.rpartition(".")
        if section:
            given = merged.get(section)
            merged[section] = {**(given if isinstance(given, Mapping) else {}), key: value}
        else:
            merged[key] = value
    return merged


def parsed_target(text: str | None) -> Spec | None:
    """The target in ``COST=VALUE``, such as ``flops=0.3``; None for None. The spec says which costs there are.

    >>> parsed_target("bytes=100000")
    {'bytes': 100000}

    Raises:
        CommandError: it is not of this form.
    """
    if text is None:
        return None
    cost, _, value = text.partition("=")
    try:
        return {cost.strip(): int(value) if value.strip().isdecimal() else float(value)}
    except ValueError:
        raise CommandError(f"--target is {text!r}; write a cost and a number, such as flops=0.3") from None


def _text(path: str, where: str) -> str:
    try:
        content = sys.stdin.buffer.read() if path == "-" else Path(path).expanduser().read_bytes()
    except OSError as error:
        raise CommandError(f"cannot read the job spec {path}: {error.strerror}") from error
    encoding = next((encoding for bom, encoding in _BOMS if content.startswith(bom)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise CommandError(f"{where} is not {encoding.upper()} (at byte {error.start}); save it as UTF-8") from error


def _check(value: Any, where: str, name: str, depth: int, left: list[int]) -> None:
    """Raises CommandError for a value that JSON does not have, and for a spec that is too large or too deep."""
    left[0] -= 1
    if left[0] < 0:
        raise CommandError(f"{where} has more than {MAX_VALUES:,} values")
    if depth > MAX_DEPTH:
        raise CommandError(f"{where} is nested too deeply; at most {MAX_DEPTH} levels are read")
    match value:
        case dict():
            for key, item in value.items():
                if not isinstance(key, str):
                    raise CommandError(
                        f"{where}: the key {key!r}{f' in {name}' if name else ''} is not a text; quote it"
                    )
                _check(item, where, f"{name}.{key}".lstrip("."), depth + 1, left)
        case list():
            for index, item in enumerate(value):
                _check(item, where, f"{name}[{index}]", depth + 1, left)
        case float() if not isfinite(value):
            raise CommandError(f"{where}: {name} is {value}, which is not a finite number")
        case None | bool() | int() | float() | str():
            pass
        case _:
            raise CommandError(f"{where}: {name} is a {type(value).__name__}, which JSON does not have")
