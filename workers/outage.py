"""Retries of operations while the database or the object storage is away."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from store.errors import DatabaseUnavailable, StorageUnavailable

log = logging.getLogger(__name__)

Value = TypeVar("Value")

STORAGE_TIMEOUT_S = 600.0
"""Seconds for which a failing object storage is retried. After that, the job fails with the storage's error."""


def retry_during_outage(
    operation: Callable[[], Value], *, check: Callable[[], None], wait_s: float, what: str
) -> Value:
    """Return ``operation()``; retry it every ``wait_s`` seconds while the database or the object storage is away.

    Args:
        operation: a whole transaction, or a read or write of an artifact. It must be safe to run twice.
        check: called before each retry; raises if the run must end. A heartbeat's ``check`` raises once the lease
            would have expired.
        what: subject of the log message while it waits.

    Raises:
        StorageUnavailable: the object storage has failed for more than ``STORAGE_TIMEOUT_S`` seconds.
    """
    began_s = time.monotonic()
    while True:
        try:
            return operation()
        except (DatabaseUnavailable, StorageUnavailable) as error:
            if isinstance(error, StorageUnavailable) and time.monotonic() - began_s > STORAGE_TIMEOUT_S:
                raise
            log.warning("%s has to wait: %s", what, error)
            check()
            time.sleep(wait_s)
