"""Job specs from YAML files and from flags, as plain mappings: the service, or ``JobSpec``, judges them."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cli.errors import CommandError

Spec = dict[str, Any]


class _Loader(yaml.SafeLoader):
    """Knows all numbers of JSON: for YAML 1.1, ``1e-3`` and ``1.0e3`` are texts."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"),  # as the core schema of YAML 1.2
    list("-+.0123456789"),
)


def read_spec(path: str) -> Spec:
    """The spec in a YAML (or JSON) file; ``-`` reads standard input.

    Raises:
        CommandError: the file is not there, is no YAML, or holds no mapping.
    """
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise CommandError(f"cannot read the job spec {path}: {error.strerror}.") from error
    try:
        spec = _Loader(text).get_single_data()
    except yaml.YAMLError as error:
        raise CommandError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(spec, dict):
        raise CommandError(f"{path} must hold a mapping with at least model, data and sparsity.")
    return spec


def override(spec: Mapping[str, Any], flags: Mapping[str, Any]) -> Spec:
    """``spec`` with the flags that were given; a flag's name is a dotted path, None means not given.

    >>> override({"model": {"architecture": "mlp"}, "seed": 1}, {"model.architecture": "lenet5", "seed": None})
    {'model': {'architecture': 'lenet5'}, 'seed': 1}
    """
    merged = dict(spec)
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
