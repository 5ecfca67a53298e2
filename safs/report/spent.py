"""How long a job took, beside what was estimated."""

from collections.abc import Mapping
from typing import Any

from safs.durations import duration, span


def spent(report: Mapping[str, Any]) -> str | None:
    """One sentence of a report.json; None for a report that is older than estimates."""
    if "actual" not in report:
        return None
    actual, estimate = report["actual"], report["estimate"]
    took = f"took {duration(actual['seconds'])}: {actual['trials']:,} trainings, {actual['epochs']:,} epochs"
    if estimate["seconds"] is None:
        return f"{took}; nothing was estimated"
    return f"{took}; estimated: {span(estimate['seconds'], estimate['low_s'], estimate['high_s'])}"
