"""Rate limits: a token bucket for each API key, in this process."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from api.errors import RateLimitedError


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class RateLimiter:
    """Token buckets that hold the requests of one minute and refill steadily.

    Not thread-safe; for use in the event loop.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def take(self, key: str, per_minute: int) -> None:
        """Count a request of ``key``.

        Raises:
            RateLimitedError: the bucket is empty. The error holds the seconds until the next request is allowed.
        """
        now = self._clock()
        bucket = self._buckets.setdefault(key, _Bucket(per_minute, now))
        bucket.tokens = min(per_minute, bucket.tokens + (now - bucket.filled_at) * per_minute / 60)
        bucket.filled_at = now
        if bucket.tokens < 1:
            wait_s = ceil((1 - bucket.tokens) * 60 / per_minute)
            raise RateLimitedError(
                f"this key may make {per_minute} requests per minute; send the next one in {wait_s} s",
                retry_after_s=wait_s,
            )
        bucket.tokens -= 1
