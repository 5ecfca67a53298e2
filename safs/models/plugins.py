"""Networks that the operator installed: trusted code, under ``plugin/<name>``.

A plugin is a function ``build(channels: int, classes: int, image_size: int) -> torch.nn.Module``. It comes from an
entry point of the group ``safs.models``, or from the ``__all__`` of a package that the variable ``SAFS_MODELS`` names,
on the API and on every runner.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TypeAlias

from torch import nn

from safs.errors import SpecError, UnknownNameError
from safs.models.entry import InputShape, ModelEntry

PREFIX = "plugin/"
GROUP = "safs.models"
VARIABLE = "SAFS_MODELS"
Build: TypeAlias = Callable[[int, int, int], nn.Module]


def plugin_names() -> tuple[str, ...]:
    """Names of the installed plugins, without the prefix."""
    return tuple(sorted({*_entry_points(), *_from_packages(os.environ.get(VARIABLE, ""))}))


def plugin_entry(name: str) -> ModelEntry:
    """The entry for a plugin.

    Raises:
        UnknownNameError: no plugin has this name.
        SpecError: the plugin cannot be imported.
    """
    if name not in plugin_names():
        known = [f"{PREFIX}{other}" for other in plugin_names()]
        raise UnknownNameError("plugin", f"{PREFIX}{name}", known, field="model.architecture")
    return ModelEntry(
        f"{PREFIX}{name}",
        partial(_make, name),
        lambda wanted: wanted,
        f"The plugin {name} of this service's operator.",
        "installed by the operator",
    )


def sources_digest() -> str:
    """The sha256 of the sources of all packages in ``SAFS_MODELS``, and the versions of all entry points' packages."""
    digest = hashlib.sha256()
    for package in _packages(os.environ.get(VARIABLE, "")):
        origin = Path(import_module(package).__file__ or "")
        files = sorted(origin.parent.rglob("*.py")) if origin.name == "__init__.py" else [origin]
        for file in files:
            digest.update(f"{file.name}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        digest.update(f"{point.name}={point.value}=={point.dist.version if point.dist else ''}\0".encode())
    return digest.hexdigest()


def _make(name: str, shape: InputShape, classes: int) -> nn.Module:
    builders = _from_packages(os.environ.get(VARIABLE, ""))
    try:
        build = builders[name] if name in builders else _entry_points()[name]()
        model = build(shape.channels, classes, shape.image_size)
    except Exception as error:  # a plugin is the operator's code and can raise anything
        raise SpecError(
            f"{PREFIX}{name} cannot be built for images of {shape.channels} x {shape.image_size} x {shape.image_size} "
            f"and {classes} classes: {type(error).__name__}: {str(error).partition(chr(10))[0]}",
            field="model.architecture",
        ) from error
    if not isinstance(model, nn.Module):
        raise SpecError(
            f"{PREFIX}{name} returns a {type(model).__name__}, no torch.nn.Module", field="model.architecture"
        )
    return model


@cache
def _entry_points() -> Mapping[str, Callable[[], Build]]:
    return {point.name: point.load for point in entry_points(group=GROUP)}


@cache
def _from_packages(packages: str) -> Mapping[str, Build]:
    found: dict[str, Build] = {}
    for package in _packages(packages):
        module = import_module(package)
        members = vars(module)
        found |= {name: members[name] for name in getattr(module, "__all__", ()) if callable(members[name])}
    return found


def _packages(packages: str) -> list[str]:
    return [package.strip() for package in packages.split(",") if package.strip()]
