"""Ids that sort by the time of their creation."""

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32 in ASCII order; no i, l, o, u to misread
_TIME_DIGITS = 11  # 55 bits of microseconds: enough until the year 3111
_RANDOM_DIGITS = 10  # 50 bits


def new_id(prefix: str) -> str:
    """A new id: ``prefix_``, 11 characters for the microseconds since 1970, and 10 random ones.

    >>> first, second = new_id("job"), new_id("job")
    >>> len(first), first.startswith("job_"), first < new_id("job") or first != second
    (25, True, True)
    """
    microseconds = time.time_ns() // 1000
    return f"{prefix}_{_digits(microseconds, _TIME_DIGITS)}{_digits(secrets.randbits(50), _RANDOM_DIGITS)}"


def _digits(number: int, count: int) -> str:
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(count)))
