"""Durations as text for people."""

_UNITS = (("s", 1.0, 100.0), ("min", 60.0, 100.0), ("h", 3_600.0, 48.0), ("days", 86_400.0, float("inf")))
"""Name of a unit, its seconds, and the number of units from which the next unit is used."""


def duration(seconds: float) -> str:
    """A duration in a suitable unit, with two digits.

    >>> duration(0.42), duration(95), duration(720), duration(5_000), duration(40_000), duration(400_000)
    ('0.4 s', '95 s', '12 min', '83 min', '11 h', '4.6 days')
    """
    name, unit = _unit(seconds)
    return f"{_number(seconds / unit)} {name}"


def span(seconds: float, low_s: float, high_s: float) -> str:
    """An expected duration and its interval, all in one unit.

    >>> span(720, 540, 960), span(100, 55, 400)
    ('12 min (9 to 16)', '1.7 min (0.9 to 6.7)')
    """
    _, unit = _unit(seconds)
    return f"{duration(seconds)} ({_number(low_s / unit)} to {_number(high_s / unit)})"


def _unit(seconds: float) -> tuple[str, float]:
    return next((name, unit) for name, unit, most in _UNITS if seconds < most * unit)


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}".removesuffix(".0")
