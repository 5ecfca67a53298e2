"""Estimates from given paces, with results worked by hand."""

from typing import Any

import pytest

from safs.estimates.estimate import Estimate, estimate
from safs.estimates.stage_costs import CROWD, MEASURED, REPORT_STARTS, Slots
from safs.estimates.stopwatch import Lap
from safs.estimates.timing import Kind, Pace, Timing, Untimed
from safs.events.kinds import Stage
from safs.spec.job import JobSpec
from tests.estimates.cases import CPU, FOUND, GPU, JOB


def _estimate(timed: Timing | Untimed, slots: Slots, **changes: Any) -> Estimate:
    return estimate(JobSpec.model_validate(JOB | changes), FOUND, [timed], slots)


def _seconds(made: Estimate) -> dict[Stage, float | None]:
    return {stage.stage: stage.seconds for stage in made.stages}


def test_stages_cost_their_trainings_at_the_pace_of_their_kind() -> None:
    made = _estimate(CPU, Slots(1, 0.0))

    own, operators = 10 * 0.1 + 2 * 0.02, 10 * 0.2 + 2 * 0.03
    assert _seconds(made) == pytest.approx(
        {
            Stage.DENSE: 1.0 + 5 * own,
            Stage.PRUNE: 0.0,
            Stage.ACTIVATIONS: 4 * (1.0 + 3 * operators),
            Stage.FINAL: 2 * (1.0 + 5 * (own + operators) / 2),
            Stage.REPORT: REPORT_STARTS.expected + 4 * (5 * 0.03 + 2.0) + MEASURED * (2 * (0.03 + 0.2) + 1.0),
        }
    )
    assert made.seconds == pytest.approx(sum(seconds or 0.0 for seconds in _seconds(made).values()))
    assert made.step_seconds == pytest.approx((10 * 5 * 0.1 + 10 * 12 * 0.2 + 10 * 10 * 0.15) / (10 * 27))
    assert made.gpu_hours is None


def test_the_interval_joins_low_counts_at_the_low_pace_and_high_counts_at_the_high_one() -> None:
    search = next(stage for stage in _estimate(CPU, Slots(1, 0.0)).stages if stage.stage is Stage.ACTIVATIONS)

    assert search.low_s == pytest.approx(4 * 1.0 + 8 * (10 * 0.1 + 2 * 0.03))  # A third of 12 epochs is saved.
    assert search.high_s == pytest.approx(4 * 1.0 + 12 * (10 * 0.4 + 2 * 0.03))


def test_trials_run_in_rounds() -> None:
    alone, three = _estimate(CPU, Slots(1, 0.0)), _estimate(CPU, Slots(3, 0.0))

    one, several = _seconds(alone), _seconds(three)
    assert several[Stage.DENSE] == one[Stage.DENSE]
    assert several[Stage.ACTIVATIONS] == pytest.approx((one[Stage.ACTIVATIONS] or 0.0) / 4 * 2)  # 3, then 1.
    assert several[Stage.FINAL] == pytest.approx((one[Stage.FINAL] or 0.0) / 2)


def test_a_training_timed_alone_may_be_slower_beside_others() -> None:
    beside, alone = _estimate(CPU, Slots(2, 0.0)), _estimate(CPU, Slots(2, 0.0, timed_alone=True))

    assert alone.seconds == beside.seconds
    searches = [made.stages[2].high_s or 0.0 for made in (beside, alone)]
    assert searches[1] == pytest.approx(CROWD * searches[0])


def test_gpu_hours_are_the_trainings_times_their_share_whatever_runs_at_once() -> None:
    one, four = _estimate(GPU, Slots(1, 0.25)), _estimate(GPU, Slots(4, 0.25))

    trainings_s = (one.seconds or 0.0) - (_seconds(one)[Stage.REPORT] or 0.0)
    assert one.gpu_hours == four.gpu_hours == pytest.approx(0.25 * trainings_s / 3600)


def test_a_strategy_that_fits_a_model_costs_its_proposals() -> None:
    changes = {"strategy": "smac", "trials": 4, "epochs": 3}
    random, smac = _estimate(CPU, Slots(1, 0.0)), _estimate(CPU, Slots(1, 0.0), activations=changes)

    assert (smac.seconds or 0.0) > (random.seconds or 0.0)


def test_timings_of_several_processes_are_combined() -> None:
    slow = Timing({kind: Pace(Lap(1.0, 1.0, 1.0), 0.02, 1.0) for kind in Kind}, "cpu, 1 thread", None)

    spec = JobSpec.model_validate(JOB)
    both = estimate(spec, FOUND, [CPU, slow, Untimed("one was lost")], Slots(1, 0.0))

    dense = both.stages[0]
    assert dense.seconds == pytest.approx(1.0 + 5 * (10 * (0.1 + 1.0) / 2 + 2 * 0.02))
    assert dense.low_s == pytest.approx(1.0 + 5 * (10 * 0.08 + 2 * 0.02))
    assert dense.high_s == pytest.approx(1.0 + 5 * (10 * 1.0 + 2 * 0.02))
    assert both.untimed is None


def test_without_a_timing_there_are_counts_and_the_reason() -> None:
    made = _estimate(Untimed("out of memory"), Slots(2, 0.0))

    assert (made.seconds, made.low_s, made.high_s, made.step_seconds, made.device) == (None,) * 5
    assert (made.trials.expected, made.epochs.expected) == (8, 27)
    assert made.summary == "8 trainings, 27 epochs; how long they take could not be timed (out of memory)"
    assert made.as_json()["untimed"] == "out of memory"


def test_the_summary_is_a_sentence() -> None:
    made = _estimate(CPU, Slots(2, 0.0))

    assert made.summary.startswith("about ")
    assert made.summary.endswith("8 trainings, 27 epochs, 2 at once, timed on cpu, 1 thread")
