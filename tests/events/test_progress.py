"""Progress of a job, with numbers worked by hand."""

from math import isfinite
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safs.events.kinds import EpochDone, Event, Note, Pulse, Stage, StageDone, StageStarted, TrialDone, TrialStarted
from safs.events.plan import StagePlan, plan_stages
from safs.events.progress import Tracker
from safs.spec.job import JobSpec
from safs.trials import Candidate, EpochMetrics, Outcome

SHORT_PLAN = (
    StagePlan(Stage.DENSE, 1, 10),
    StagePlan(Stage.PRUNE, 0, 0),
    StagePlan(Stage.ACTIVATIONS, 4, 5),
    StagePlan(Stage.FINAL, 2, 10),
    StagePlan(Stage.REPORT, 0, 0),
)  # 10 + 20 + 20 = 50 epochs


def job_spec(**sections: Any) -> JobSpec:
    given: dict[str, Any] = {"model": {"architecture": "lenet5"}, "data": {"dataset": "digits"}, "sparsity": 0.99}
    return JobSpec.model_validate(given | {"preset": "quick"} | sections)


def epoch(stage: Stage, trial: int, number: int, *, accuracy: float = 0.5, seconds: float = 1.0) -> EpochDone:
    return EpochDone(stage, trial, EpochMetrics(number, 1.0, 1.0, accuracy, 1e-3, seconds))


def candidate(number: int, epochs: int = 5) -> Candidate:
    return Candidate(number, {"act": "relu"}, epochs, seed=0)


def started(stage: Stage, number: int, epochs: int = 5) -> TrialStarted:
    return TrialStarted(stage, candidate(number, epochs))


def done(stage: Stage, number: int, epochs: int = 5, *, accuracy: float = 0.5) -> TrialDone:
    return TrialDone(stage, candidate(number, epochs), Outcome(1 - accuracy, {"accuracy": accuracy}))


def dense_is_done(tracker: Tracker, *, epoch_s: float = 1.0) -> float:
    """Report ten dense epochs and the pruning; return the time at their end."""
    tracker.update(StageStarted(Stage.DENSE, 1, 10), 0.0)
    for number in range(1, 11):
        tracker.update(epoch(Stage.DENSE, 0, number, seconds=epoch_s), number * epoch_s)
    tracker.update(StageDone(Stage.DENSE, 10 * epoch_s, "trained"), 10 * epoch_s)
    tracker.update(StageStarted(Stage.PRUNE, 0, 0), 10 * epoch_s)
    tracker.update(StageDone(Stage.PRUNE, 0.0, "pruned"), 10 * epoch_s)
    return 10 * epoch_s


def test_a_quick_job_searches_both_at_once_with_the_presets_epochs() -> None:
    plan = [(stage.stage.value, stage.trials, stage.epochs) for stage in plan_stages(job_spec())]

    assert plan == [
        ("dense", 1, 20),
        ("prune_search", 6, 6),  # 4 starts, of which 2 go on
        ("prune", 2, 4),  # the chosen start, and the one-shot baseline
        ("joint", 9, 5),  # 7 configurations, of which 2 go on
        ("final", 3, 15),
        ("report", 0, 0),
    ]


@pytest.mark.parametrize(
    ("sections", "skipped"),
    [
        ({"final": {"candidates": ["default", "activations", "safs"]}}, {"tune_alone"}),
        ({"final": {"candidates": ["default", "hyperparameters"]}}, {"activations", "tune"}),
        ({"final": {"candidates": ["default", "activations"]}}, {"tune", "tune_alone"}),
        ({"final": {"candidates": ["default"]}}, {"activations", "tune", "tune_alone"}),
    ],
)
def test_stages_that_nothing_needs_are_not_planned(sections: dict[str, Any], skipped: set[str]) -> None:
    plan = {stage.stage.value for stage in plan_stages(job_spec(**sections))}

    assert {stage.value for stage in Stage} - plan == skipped | {"joint", "front"}


def test_a_job_with_weights_trains_nothing_in_the_dense_stage() -> None:
    plan = plan_stages(job_spec(model={"architecture": "lenet5", "weights": "upload-1"}))

    assert plan[0] == StagePlan(Stage.DENSE, 0, 0)


def test_repeats_multiply_the_final_trainings() -> None:
    final = {"candidates": ["default", "safs"], "repeats": 3, "epochs": 7}

    (stage,) = (stage for stage in plan_stages(job_spec(final=final)) if stage.stage is Stage.FINAL)

    assert (stage.trials, stage.epochs) == (6, 7)


def test_the_time_left_is_unknown_before_an_epoch_has_been_timed() -> None:
    progress = Tracker(SHORT_PLAN).update(StageStarted(Stage.DENSE, 1, 10), 3.0)

    assert progress.remaining_s is None
    assert (progress.stage, progress.stage_number, progress.stages) == (Stage.DENSE, 1, 5)
    assert (progress.elapsed_s, progress.fraction, progress.best_accuracy) == (3.0, 0.0, None)


def test_the_time_left_is_the_epochs_left_times_the_measured_epoch_over_the_slots() -> None:
    tracker = Tracker(SHORT_PLAN, slots=2)
    tracker.update(StageStarted(Stage.DENSE, 1, 10), 0.0)

    progress = tracker.update(epoch(Stage.DENSE, 0, 1, seconds=2.0), 2.0)

    assert progress.remaining_s == pytest.approx(9 * 2.0 / 1 + 40 * 2.0 / 2)
    assert progress.fraction == pytest.approx(1 / 50)


def test_the_cost_of_a_search_is_that_of_its_own_epochs_and_later_that_of_its_wall_clock() -> None:
    tracker = Tracker(SHORT_PLAN, slots=2)
    begin = dense_is_done(tracker)
    tracker.update(StageStarted(Stage.ACTIVATIONS, 4, 5), begin)

    first_epoch = tracker.update(epoch(Stage.ACTIVATIONS, 0, 1, seconds=0.5), begin + 3.0)
    # 19 + 20 epochs of 0.5 s on two slots
    assert first_epoch.remaining_s == pytest.approx(39 * 0.5 / 2)

    tracker.update(done(Stage.ACTIVATIONS, 0), begin + 8.0)
    two_trials = tracker.update(done(Stage.ACTIVATIONS, 1), begin + 10.0)
    # The first epoch began at 2.5 s, so 10 epochs took 7.5 s of wall time, 0.75 s each for any number of slots. 10
    # epochs are left in this stage and 20 in the final stage.
    assert two_trials.remaining_s == pytest.approx(30 * 0.75)
    assert (two_trials.trials_done, two_trials.trials, two_trials.epochs_done) == (2, 4, 10)
    assert two_trials.fraction == pytest.approx(20 / 50)


def test_the_time_left_decreases_between_events_down_to_zero() -> None:
    tracker = Tracker(SHORT_PLAN)
    tracker.update(StageStarted(Stage.DENSE, 1, 10), 0.0)
    tracker.update(epoch(Stage.DENSE, 0, 1), 1.0)

    assert [tracker.at(now).remaining_s for now in (1.0, 11.0, 49.0, 50.0, 900.0)] == [49.0, 39.0, 1.0, 0.0, 0.0]


def test_more_trials_at_once_than_slots_raise_the_slots() -> None:
    tracker = Tracker(SHORT_PLAN, slots=1)
    begin = dense_is_done(tracker)
    tracker.update(StageStarted(Stage.ACTIVATIONS, 4, 5), begin)
    for number in range(4):
        tracker.update(started(Stage.ACTIVATIONS, number), begin)

    progress = tracker.update(epoch(Stage.ACTIVATIONS, 0, 1, seconds=2.0), begin + 2.0)

    assert progress.remaining_s == pytest.approx(19 * 2.0 / 4 + 20 * 2.0 / 1)


def test_a_search_may_run_more_trials_than_it_announced() -> None:
    tracker = Tracker(SHORT_PLAN)
    tracker.update(StageStarted(Stage.ACTIVATIONS, 2, 5), 0.0)
    for number in range(2):
        tracker.update(done(Stage.ACTIVATIONS, number), 5.0 * (number + 1))

    progress = tracker.update(started(Stage.ACTIVATIONS, 2), 10.0)

    assert (progress.trials_done, progress.trials) == (2, 3)
    assert progress.remaining_s == pytest.approx(5 + 20)


def test_a_trial_that_broke_down_counts_all_its_epochs_and_is_never_the_best() -> None:
    tracker = Tracker(SHORT_PLAN)
    tracker.update(StageStarted(Stage.ACTIVATIONS, 4, 5), 0.0)
    tracker.update(done(Stage.ACTIVATIONS, 0, accuracy=0.4), 5.0)

    broken = Outcome(float("inf"), {"accuracy": 0.9}, error="the loss became infinite in epoch 2")
    progress = tracker.update(TrialDone(Stage.ACTIVATIONS, candidate(1), broken), 7.0)

    assert (progress.trials_done, progress.epochs_done, progress.best_accuracy) == (2, 10, 0.4)


def test_the_best_accuracy_is_that_of_the_current_stage() -> None:
    tracker = Tracker(SHORT_PLAN)
    tracker.update(StageStarted(Stage.DENSE, 1, 10), 0.0)
    dense = tracker.update(epoch(Stage.DENSE, 0, 1, accuracy=0.98), 1.0)
    search = tracker.update(StageStarted(Stage.ACTIVATIONS, 4, 5), 2.0)
    better = tracker.update(epoch(Stage.ACTIVATIONS, 0, 1, accuracy=0.3), 3.0)
    worse = tracker.update(epoch(Stage.ACTIVATIONS, 0, 2, accuracy=0.2), 4.0)

    assert [moment.best_accuracy for moment in (dense, search, better, worse)] == [0.98, None, 0.3, 0.3]


@pytest.mark.parametrize("stage", [Stage.PRUNE_SEARCH, Stage.PRUNE])
def test_epochs_below_the_sparsity_are_never_the_best_of_a_pruning(stage: Stage) -> None:
    tracker = Tracker(SHORT_PLAN)
    tracker.update(StageStarted(stage, 4, 5), 0.0)

    nearly_dense = tracker.update(epoch(stage, 0, 1, accuracy=0.9), 1.0)
    pruned = tracker.update(done(stage, 0, accuracy=0.25), 5.0)

    assert [moment.best_accuracy for moment in (nearly_dense, pruned)] == [None, 0.25]


def test_a_reused_stage_has_no_epochs_left() -> None:
    tracker = Tracker(SHORT_PLAN)
    tracker.update(StageStarted(Stage.DENSE, 1, 10), 0.0)
    tracker.update(StageDone(Stage.DENSE, 0.0, "reused"), 0.0)
    tracker.update(StageStarted(Stage.ACTIVATIONS, 4, 5), 0.0)

    progress = tracker.update(epoch(Stage.ACTIVATIONS, 0, 1), 1.0)

    assert progress.remaining_s == pytest.approx(19 + 20)
    assert progress.fraction == pytest.approx(1 / 40)


def test_a_skipped_stage_is_not_counted() -> None:
    tracker = Tracker(SHORT_PLAN)

    tracker.update(StageStarted(Stage.FINAL, 2, 10), 0.0)
    progress = tracker.update(epoch(Stage.FINAL, 0, 1), 1.0)

    assert progress.remaining_s == pytest.approx(19.0)
    assert progress.fraction == pytest.approx(1 / 20)


def test_a_runner_that_takes_over_starts_the_stage_with_empty_counts() -> None:
    tracker = Tracker(SHORT_PLAN)
    tracker.update(StageStarted(Stage.ACTIVATIONS, 4, 5), 0.0)
    tracker.update(done(Stage.ACTIVATIONS, 0), 5.0)

    again = tracker.update(StageStarted(Stage.ACTIVATIONS, 4, 5), 60.0)

    assert (again.trials_done, again.epochs_done, again.best_accuracy) == (0, 0, None)


def test_an_unplanned_stage_is_inserted_in_the_order_of_stages() -> None:
    progress = Tracker(SHORT_PLAN).update(StageStarted(Stage.TUNE, 3, 5), 0.0)

    assert (progress.stage, progress.stage_number, progress.stages) == (Stage.TUNE, 4, 6)


def test_the_fraction_is_one_only_when_the_report_is_written() -> None:
    tracker = Tracker(SHORT_PLAN)
    tracker.update(StageStarted(Stage.FINAL, 2, 10), 0.0)
    for number in range(2):
        tracker.update(done(Stage.FINAL, number, 10), 10.0 * (number + 1))
    tracker.update(StageDone(Stage.FINAL, 20.0, "done"), 20.0)

    writing = tracker.update(StageStarted(Stage.REPORT, 0, 0), 20.0)
    written = tracker.update(StageDone(Stage.REPORT, 1.0, "written"), 21.0)

    assert (writing.fraction, written.fraction) == (0.99, 1.0)
    assert (writing.remaining_s, written.remaining_s) == (0.0, 0.0)


def test_progress_as_json_has_plain_values_and_rounded_seconds() -> None:
    tracker = Tracker(SHORT_PLAN)
    tracker.update(StageStarted(Stage.DENSE, 1, 10), 0.0)

    assert tracker.update(epoch(Stage.DENSE, 0, 1, seconds=1 / 3), 1 / 3).as_json() == {
        "stage": "dense",
        "stage_number": 1,
        "stages": 5,
        "trials_done": 0,
        "trials": 1,
        "best_accuracy": 0.5,
        "epochs_done": 1,
        "epochs": 10,
        "elapsed_s": 0.3,
        "remaining_s": 16.3,
        "fraction": 0.02,
    }


EVENTS = st.lists(
    st.tuples(
        st.one_of(
            st.builds(StageStarted, st.sampled_from(Stage), st.integers(0, 5), st.integers(0, 5)),
            st.builds(started, st.sampled_from(Stage), st.integers(0, 9)),
            st.builds(
                epoch,
                st.sampled_from(Stage),
                st.integers(0, 9),
                st.integers(1, 9),
                seconds=st.floats(0, 100),
            ),
            st.builds(done, st.sampled_from(Stage), st.integers(0, 9), st.integers(1, 9)),
            st.builds(StageDone, st.sampled_from(Stage), st.floats(0, 100), st.just("done")),
            st.just(Note("a surprise")),
            st.just(Pulse()),
        ),
        st.floats(0, 50),
    ),
    max_size=40,
)


@given(events=EVENTS, slots=st.integers(1, 8))
def test_times_are_finite_and_never_negative_for_any_events(events: list[tuple[Event, float]], slots: int) -> None:
    tracker = Tracker(SHORT_PLAN, slots=slots)
    now_s = 0.0

    for event, pause_s in events:
        now_s += pause_s
        progress = tracker.update(event, now_s)

        assert progress.remaining_s is None or (isfinite(progress.remaining_s) and progress.remaining_s >= 0)
        assert 0 <= progress.fraction <= 1
        assert 1 <= progress.stage_number <= progress.stages
        assert progress.elapsed_s == pytest.approx(now_s)


def test_elapsed_time_counts_from_the_start_of_the_job() -> None:
    tracker = Tracker(SHORT_PLAN, started_s=1_000.0)

    moments = [tracker.update(StageStarted(Stage.DENSE, 1, 10), 1_002.0), tracker.at(1_005.0)]

    assert [moment.elapsed_s for moment in moments] == [2.0, 5.0]


def promoted(number: int, epochs: int, continues: int) -> Candidate:
    return Candidate(number, {"act": "relu"}, epochs, seed=0, horizon=9, continues=continues)


def test_the_plan_of_a_successive_halving_counts_promotions_and_only_their_new_epochs() -> None:
    final = {"candidates": ["default", "joint"]}
    plans = {
        strategy: plan_stages(
            job_spec(final=final, joint={"strategy": strategy, "trials": 9, "epochs": 9, "options": {"min_epochs": 1}})
        )
        for strategy in ("asha", "hyperband", "random")
    }
    found = {
        strategy: next((stage.trials, stage.all_epochs) for stage in plan if stage.stage is Stage.JOINT)
        for strategy, plan in plans.items()
    }

    # 9 trials of 1 epoch; 3 continue for 2 more, 1 for 6 more
    assert found == {"asha": (13, 9 + 6 + 6), "hyperband": (13, 9 + 6 + 6), "random": (9, 81)}


def test_a_promoted_trial_counts_only_its_new_epochs() -> None:
    tracker = Tracker((StagePlan(Stage.ACTIVATIONS, 13, 9, epochs_in_total=21), StagePlan(Stage.REPORT, 0, 0)))
    tracker.update(StageStarted(Stage.ACTIVATIONS, 9, 9), 0.0)
    for number in range(3):
        tracker.update(TrialDone(Stage.ACTIVATIONS, candidate(number, 1), Outcome(0.5, {"accuracy": 0.5})), 1.0)

    tracker.update(TrialStarted(Stage.ACTIVATIONS, promoted(3, 3, continues=1)), 3.0)
    running = tracker.update(epoch(Stage.ACTIVATIONS, 3, 2), 4.0)
    ended = tracker.update(TrialDone(Stage.ACTIVATIONS, promoted(3, 3, continues=1), Outcome(0.4)), 5.0)
    again = tracker.update(TrialDone(Stage.ACTIVATIONS, promoted(4, 9, continues=3), Outcome(0.3), "before"), 5.0)

    assert (running.epochs_done, running.epochs, running.trials) == (4, 21, 13)
    assert [ended.epochs_done, again.epochs_done] == [5, 11]


def test_a_promoted_trial_that_starts_over_counts_no_epoch_twice() -> None:
    tracker = Tracker((StagePlan(Stage.ACTIVATIONS, 13, 9, epochs_in_total=21), StagePlan(Stage.REPORT, 0, 0)))
    tracker.update(StageStarted(Stage.ACTIVATIONS, 13, 9), 0.0)
    tracker.update(TrialDone(Stage.ACTIVATIONS, candidate(0, 3), Outcome(0.5)), 1.0)
    tracker.update(TrialStarted(Stage.ACTIVATIONS, promoted(1, 9, continues=0)), 1.0)

    seen = [tracker.update(epoch(Stage.ACTIVATIONS, 1, number), 2.0).epochs_done for number in range(1, 6)]

    assert seen == [3, 3, 3, 4, 5]


def test_recalled_trials_count_as_done_and_not_in_the_measured_cost() -> None:
    tracker = Tracker(SHORT_PLAN)
    tracker.update(StageStarted(Stage.ACTIVATIONS, 4, 5), 0.0)
    for number in range(2):
        tracker.update(TrialDone(Stage.ACTIVATIONS, candidate(number), Outcome(0.5), "an earlier attempt"), 0.1)
    recalled = tracker.at(0.1)
    tracker.update(started(Stage.ACTIVATIONS, 2), 1.0)
    tracker.update(epoch(Stage.ACTIVATIONS, 2, 1, seconds=2.0), 3.0)
    trained = tracker.update(done(Stage.ACTIVATIONS, 2), 11.0)

    assert (recalled.trials_done, recalled.epochs_done, recalled.remaining_s) == (2, 10, None)
    # The five epochs of the third trial took 10 s. Five epochs are left in this stage, twenty in the final stage.
    assert trained.remaining_s == pytest.approx(25 * 2.0)
