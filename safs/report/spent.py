"""How long a job took, beside what was estimated, and what it survived."""

from collections.abc import Mapping
from typing import Any

from safs.events.durations import duration, span
from safs.events.faults import survived


def spent(report: Mapping[str, Any]) -> str | None:
    """One sentence of a report.json; None for a report that is older than estimates."""
    if "actual" not in report:
        return None
    actual, estimate = report["actual"], report["estimate"]
    faults = survived(report.get("faults"))
    took = f"took {duration(actual['seconds'])}: {actual['trials']:,} trainings, {actual['epochs']:,} epochs"
    if estimate["seconds"] is None:
        told = [took, "nothing was estimated", faults]
    else:
        told = [took, f"estimated: {span(estimate['seconds'], estimate['low_s'], estimate['high_s'])}", faults]
    return "; ".join(part for part in told if part)
