"""Where commands write."""

import sys

from rich.console import Console

WIDTH_WITHOUT_TERMINAL = 140
"""Wide enough for every table: a file or a pipe has no width of its own."""


def stdout() -> Console:
    """A console on standard output; without a terminal it writes plain text."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL)


def stderr() -> Console:
    """A console on standard error."""
    return Console(stderr=True, highlight=False)
