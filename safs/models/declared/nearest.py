"""Hints for names that a closed table does not have."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence with the nearest known name, after a space; empty if none is near.

    >>> nearest("Conv2D", ["Conv1d", "Conv2d", "Linear"])
    " The nearest that is known is 'Conv2d'."
    """
    close = get_close_matches(name[:64], list(known), n=1, cutoff=0.5)
    return f" The nearest that is known is {close[0]!r}." if close else ""
