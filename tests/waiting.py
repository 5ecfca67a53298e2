"""Waits for conditions, not for the clock."""

import time
from collections.abc import Callable

import httpx

POLL_S = 0.02
PATIENCE_S = 250.0
"""Seconds after which a wait fails; less than pytest's own timeout, so that the traceback shows the condition."""


def wait_until(condition: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
    """Return once ``condition()`` is true; fail after ``timeout_s`` seconds. What the condition raises is raised."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"the condition does not hold after {timeout_s:g} s"
        time.sleep(POLL_S)


def is_listening(url: str) -> bool:
    """Return True if a server answers at the address."""
    try:
        return httpx.get(f"{url}/livez", trust_env=False).status_code > 0
    except httpx.TransportError:
        return False
