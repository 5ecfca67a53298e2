"""Waiting for a database that is away."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from store.errors import DatabaseUnavailable

log = logging.getLogger(__name__)

Found = TypeVar("Found")


def patiently(ask: Callable[[], Found], *, check: Callable[[], None], wait_s: float, what: str) -> Found:
    """What ``ask`` returns; asks again every ``wait_s`` seconds while the database is away.

    Args:
        ask: a whole transaction, which may be done twice.
        check: raises when the run must end; a heartbeat's does once the lease would have expired.
        what: is waited for, in the log.
    """
    while True:
        try:
            return ask()
        except DatabaseUnavailable as error:
            log.warning("%s has to wait: %s", what, error)
            check()
            time.sleep(wait_s)
