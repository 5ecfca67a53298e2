"""The cost of a finished job beside its estimate."""

from typing import Any

from safs.estimates.estimate import Estimate
from safs.events.stage_log import StageLog


def beside_actual(estimate: Estimate, stage_log: StageLog) -> dict[str, Any]:
    """The fields ``estimate`` and ``actual`` of report.json.

    ``actual`` counts what ran, without what was reused from an earlier job or attempt. ``ratio`` is the actual time
    over the estimated time of the stages in which nothing was reused; None if there are none, or nothing was timed.
    """
    records = stage_log.stages
    whole = [stage for stage in estimate.stages if stage.stage in records and not records[stage.stage].reused]
    estimated_s = sum(stage.seconds or 0.0 for stage in whole)
    actual = {
        "seconds": sum(record.seconds for record in records.values()),
        "trials": sum(record.ran for record in records.values()),
        "epochs": sum(record.epochs for record in records.values()),
        "ratio": sum(records[stage.stage].seconds for stage in whole) / estimated_s if estimated_s else None,
    }
    return {"estimate": estimate.as_json(), "actual": actual}
