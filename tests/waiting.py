"""Waits for conditions, not for the clock."""

import time
from collections.abc import Callable

import httpx


def wait_until(condition: Callable[[], bool], timeout_s: float = 120.0) -> None:
    """Returns once ``condition`` holds; fails after ``timeout_s`` seconds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"the condition does not hold after {timeout_s} s"
        time.sleep(0.05)


def is_listening(url: str) -> bool:
    """True if a server answers at the address."""
    try:
        return httpx.get(f"{url}/livez", trust_env=False).status_code > 0
    except httpx.TransportError:
        return False
