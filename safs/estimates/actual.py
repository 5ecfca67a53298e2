"""The cost of a finished job beside its estimate."""

from typing import Any

from safs.estimates.estimate import Estimate
from safs.events.stage_log import StageLog


def beside_actual(estimate: Estimate, stage_log: StageLog, before_s: float) -> dict[str, Any]:
    """The fields ``estimate`` and ``actual`` of report.json.

    ``actual`` counts what ran, without what was reused from an earlier job or attempt. ``ratio`` is the actual time
    over the estimated time, both of the start and the stages in which nothing was reused; None if there are none, or
    nothing was timed.

    Args:
        before_s: seconds from the claim of the job to its first stage.
    """
    records = stage_log.stages
    whole = [stage for stage in estimate.stages if stage.stage in records and not records[stage.stage].reused]
    estimated_s = sum(stage.seconds or 0.0 for stage in whole)
    stages_s = sum(records[stage.stage].seconds for stage in whole)
    actual = {
        "seconds": before_s + sum(record.seconds for record in records.values()),
        "trials": sum(record.ran for record in records.values()),
        "epochs": sum(record.epochs for record in records.values()),
        "ratio": (before_s + stages_s) / (estimate.before_s + estimated_s)
        if estimated_s and estimate.before_s is not None
        else None,
    }
    return {"estimate": estimate.as_json(), "actual": actual}
