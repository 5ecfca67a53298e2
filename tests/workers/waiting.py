"""Waiting for a condition, without a bound of its own: pytest's timeout ends a test that waits forever."""

from collections.abc import Callable
from threading import Event

POLL_S = 0.02


def wait_for(condition: Callable[[], object]) -> None:
    """Return once ``condition()`` is true. What it raises ends the wait."""
    while not condition():
        Event().wait(POLL_S)
