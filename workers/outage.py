"""Waiting for a database, or object storage, that is away."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from store.errors import DatabaseUnavailable, StorageUnavailable

log = logging.getLogger(__name__)

Found = TypeVar("Found")

STORAGE_PATIENCE_S = 600.0
"""Storage that refuses us for longer will not come back by itself: the job fails with the reason."""


def patiently(ask: Callable[[], Found], *, check: Callable[[], None], wait_s: float, what: str) -> Found:
    """What ``ask`` returns; asks again every ``wait_s`` seconds while the database or the object storage is away.

    Args:
        ask: a whole transaction, or a put or a look at an artifact; it may be done twice.
        check: raises when the run must end; a heartbeat's does once the lease would have expired.
        what: is waited for, in the log.
    """
    began_s = time.monotonic()
    while True:
        try:
            return ask()
        except (DatabaseUnavailable, StorageUnavailable) as error:
            if isinstance(error, StorageUnavailable) and time.monotonic() - began_s > STORAGE_PATIENCE_S:
                raise
            log.warning("%s has to wait: %s", what, error)
            check()
            time.sleep(wait_s)
