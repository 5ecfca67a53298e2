"""SAFS: prune a network to an exact sparsity, then find the activations and hyperparameters that suit it.

>>> import safs
>>> network = safs.load("demo-output")  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from safs import models
    from safs.checkpoint import hold_zeros, verify
    from safs.deploy.export import export
    from safs.deploy.loading import load
    from safs.models.declared.capture import capture

__all__ = ["capture", "export", "hold_zeros", "load", "models", "verify"]


def __getattr__(name: str) -> Any:
    """Import the public names on first use: they need torch; the command's help and the client do not."""
    if name == "models":
        return import_module("safs.models")
    if name == "capture":
        return import_module("safs.models.declared.capture").capture
    if name not in __all__:
        raise AttributeError(f"module 'safs' has no attribute {name!r}")
    module = {"export": "safs.deploy.export", "load": "safs.deploy.loading"}.get(name, "safs.checkpoint")
    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    """Names of the module, with those that are imported on first use."""
    return sorted({*globals(), *__all__})
