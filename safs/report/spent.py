"""The time that a job took beside its estimate, and the faults that it survived."""

from collections.abc import Mapping
from typing import Any

from safs.events.durations import duration, span
from safs.events.faults import survived


def spent(report: Mapping[str, Any]) -> str | None:
    """One sentence about a report.json; None if the report has no estimate."""
    if "actual" not in report:
        return None
    actual, estimate = report["actual"], report["estimate"]
    faults = survived(report.get("faults"))
    took = f"took {duration(actual['seconds'])}: {actual['trials']:,} trainings, {actual['epochs']:,} epochs"
    if estimate["seconds"] is None:
        parts = [took, "nothing was estimated", faults]
    else:
        parts = [took, f"estimated: {span(estimate['seconds'], estimate['low_s'], estimate['high_s'])}", faults]
    return "; ".join(part for part in parts if part)
