"""SAFS: prune a network to an exact sparsity, then find the activations and hyperparameters that suit it.

>>> import safs
>>> network = safs.load("demo-output")  # doctest: +SKIP
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from safs.checkpoint import hold_zeros, load, verify

__all__ = ["hold_zeros", "load", "verify"]


def __getattr__(name: str) -> Any:
    """Import the public functions on first use: they need torch; the command's help and the client do not."""
    if name not in __all__:
        raise AttributeError(f"module 'safs' has no attribute {name!r}")
    from safs import checkpoint

    return getattr(checkpoint, name)
