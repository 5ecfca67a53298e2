"""Cache keys: hashes of everything that an output depends on, including the program."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from enum import Enum
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from safs.data import Split, TensorSplit
from safs.data.file_split import FileSplit
from safs.errors import DataError
from safs.models.plugins import sources_digest

PACKAGES = ("torch", "torchvision", "timm", "torch-pruning", "ConfigSpace", "smac", "optuna", "numpy")
"""Packages whose versions are part of every key, since another version can compute or propose something else."""


def key_of(**parts: Any) -> str:
    """The sha256 (hexadecimal) of ``parts`` and of ``code_version``.

    Args:
        parts: numbers, strings, None, lists, mappings, dataclasses and pydantic models of these. The key of another
            output covers everything that the output depends on.
    """
    text = json.dumps({"code": code_version(), **parts}, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def code_version() -> str:
    """The sha256 of the sources of ``safs``, ``search_spaces`` and plugins, and of the versions of ``PACKAGES``.

    The version number of this package does not suffice, since the code changes without it.
    """
    digest = hashlib.sha256()
    top = Path(__file__).parents[2]
    for package in ("safs", "search_spaces"):
        for file in sorted((top / package).rglob("*.py")):
            digest.update(f"{file.relative_to(top).as_posix()}\0".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    digest.update(sources_digest().encode())
    for name in PACKAGES:
        try:
            digest.update(f"{name}=={version(name)}\0".encode())
        except PackageNotFoundError:
            digest.update(f"{name}\0".encode())
    return digest.hexdigest()


def file_hash(file: Path) -> str:
    """The sha256 of the file's bytes."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def fingerprint(split: Split) -> str:
    """The sha256 of a split's images and labels.

    For images that stay in their files, the hash covers names, sizes and modification times in place of the contents.
    For files that were unpacked, it covers the hash of their archive and their names in it.

    Raises:
        DataError: a file cannot be read.
    """
    digest = hashlib.sha256()
    match split:
        case TensorSplit():
            for name, array in split.to_arrays().items():
                digest.update(f"{name} {array.dtype} {array.shape}\0".encode())
                digest.update(array.tobytes())
        case FileSplit():
            digest.update(split.labels.numpy().tobytes())
            digest.update(f"{split.channels} {split.image_size} {split.crop_and_flip}\0".encode())
            digest.update(f"{split.mean.tolist()} {split.std.tolist()}\0".encode())
            if split.origin is not None:
                names = [os.path.relpath(file, split.origin.folder) for file in split.files]
                digest.update(f"{split.origin.sha256}\0{json.dumps(names)}".encode())
                return digest.hexdigest()
            for file in split.files:
                try:
                    stat = Path(file).stat()
                except OSError as error:
                    raise DataError(f"{file} cannot be read: {error.strerror}", field="data.path") from error
                digest.update(os.fsencode(file) + f"\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
        case _:
            raise TypeError(f"a {type(split).__name__} has no fingerprint")
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    match value:
        case BaseModel():
            return value.model_dump(mode="json")
        case Enum():
            return value.value
        case Mapping():
            return dict(value)
        case _ if is_dataclass(value) and not isinstance(value, type):
            return asdict(value)
        case _:
            raise TypeError(f"{type(value).__name__} cannot be part of a key")
