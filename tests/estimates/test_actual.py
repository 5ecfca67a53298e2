"""The estimate beside the actual cost in a report."""

from dataclasses import replace

import pytest

from safs.estimates import beside_actual, workload
from safs.estimates.estimate import estimate
from safs.estimates.stage_costs import Seconds, Slots
from safs.events.kinds import Stage
from safs.events.stage_log import StageLog
from safs.spec.job import JobSpec
from tests.estimates.cases import CPU, FOUND, JOB

ESTIMATE = estimate(JobSpec.model_validate(JOB), FOUND, [CPU], Slots(1, 0.0), Seconds(3.0, 3.0, 3.0))


def _stage_log(*reused: Stage) -> StageLog:
    """The log of a job in which every stage took twice as long as estimated."""
    stage_log = StageLog(lambda event: None)
    for stage in ESTIMATE.stages:
        with stage_log.stage(stage.stage) as record:
            record.ran, record.epochs = (0, 0) if stage.stage in reused else (stage.trials, stage.epochs)
            record.reused = stage.stage in reused
        record.seconds = 0.01 if stage.stage in reused else 2 * (stage.seconds or 0.0)
    return stage_log


def test_the_ratio_is_actual_over_estimated() -> None:
    both = beside_actual(ESTIMATE, _stage_log(), before_s=6.0)

    assert both["estimate"] == ESTIMATE.as_json()
    assert both["actual"] == {
        "seconds": pytest.approx(2 * (ESTIMATE.seconds or 0.0)),
        "trials": sum(one.trials.expected for one in workload(JobSpec.model_validate(JOB))),
        "epochs": 27,
        "ratio": pytest.approx(2.0),
    }


def test_reused_stages_are_neither_counted_nor_compared() -> None:
    actual = beside_actual(ESTIMATE, _stage_log(Stage.DENSE, Stage.ACTIVATIONS), before_s=6.0)["actual"]

    assert (actual["trials"], actual["epochs"]) == (3, 10)
    assert actual["ratio"] == pytest.approx(2.0)


def test_without_an_estimate_there_is_no_ratio() -> None:
    stages = tuple(replace(stage, seconds=None, low_s=None, high_s=None) for stage in ESTIMATE.stages)

    assert (
        beside_actual(replace(ESTIMATE, seconds=None, stages=stages), _stage_log(), before_s=6.0)["actual"]["ratio"]
        is None
    )
