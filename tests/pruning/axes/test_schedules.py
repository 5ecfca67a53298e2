"""Schedules: the sparsity over progress, compared with values of the formulas."""

from math import e

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from safs.pruning.axes.schedules import (
    PRUNING_SCHEDULES,
    CyclicOptions,
    GradualOptions,
    IterativeOptions,
    cubic,
    cyclic,
    iterative,
    one_cycle,
)

WHOLE = GradualOptions(begin=0, end=1)


@pytest.mark.parametrize("name", PRUNING_SCHEDULES)
@given(progress=st.floats(0, 1), final=st.floats(0, 0.9999))
def test_every_schedule_ends_at_exactly_the_final_sparsity_and_stays_within_0_and_it(name, progress, final):
    schedule = PRUNING_SCHEDULES[name]
    options = schedule.options()

    assert schedule.sparsity_at(1.0, final, options) == final
    assert 0 <= schedule.sparsity_at(progress, final, options) <= final


@pytest.mark.parametrize("name", ["iterative", "cubic", "one_cycle"])
@given(progress=st.lists(st.floats(0, 1), min_size=2, max_size=6), final=st.floats(0.01, 0.9999))
def test_the_sparsity_of_these_schedules_never_falls(name, progress, final):
    schedule = PRUNING_SCHEDULES[name]

    sparsities = [schedule.sparsity_at(done, final, schedule.options()) for done in sorted(progress)]

    assert sparsities == sorted(sparsities)


@pytest.mark.parametrize("name", ["cubic", "one_cycle", "cyclic"])
def test_by_default_the_sparsity_is_final_in_the_last_quarter(name):
    schedule = PRUNING_SCHEDULES[name]

    assert {schedule.sparsity_at(done, 0.9, schedule.options()) for done in (0.75, 0.8, 0.99)} == {0.9}
    assert schedule.sparsity_at(0.6, 0.9, schedule.options()) < 0.9


def test_only_one_shot_does_not_train():
    assert [name for name, schedule in PRUNING_SCHEDULES.items() if not schedule.trains] == ["one_shot"]
    assert all(schedule.summary for schedule in PRUNING_SCHEDULES.values())


def test_iterative_rounds_remove_the_same_share_of_the_live_weights():
    options = IterativeOptions(rounds=4)

    densities = [1 - iterative(done, 1 - 0.0625, options) for done in (0, 0.24, 0.25, 0.5, 0.75, 1)]

    assert densities == pytest.approx([0.5, 0.5, 0.25, 0.125, 0.0625, 0.0625])


@pytest.mark.parametrize("rounds", [1, 3, 7, 10, 100])
def test_a_round_begins_at_its_share_of_the_progress_despite_rounding(rounds):
    options = IterativeOptions(rounds=rounds)

    sparsities = {iterative(done / rounds, 0.99, options) for done in range(rounds)}

    assert len(sparsities) == rounds


def test_cubic_is_seven_eighths_of_the_way_halfway():
    assert cubic(0, 0.8, WHOLE) == 0
    assert cubic(0.5, 0.8, WHOLE) == pytest.approx(0.7)
    assert cubic(0.3, 0.8, GradualOptions(begin=0.2, end=0.4)) == pytest.approx(0.7)
    assert cubic(0.1, 0.8, GradualOptions(begin=0.2, end=0.4)) == 0


def test_one_cycle_is_the_logistic_curve_around_6_of_14():
    assert one_cycle(6 / 14, 0.8, WHOLE) == pytest.approx(0.8 * (1 + e**-8) / 2)
    assert one_cycle(0, 0.8, WHOLE) == pytest.approx(0.8 * (1 + e**-8) / (1 + e**6))
    assert one_cycle(0.1, 0.8, GradualOptions(begin=0.2)) == 0


def test_cyclic_density_rises_to_three_times_the_final_one_in_each_of_two_cycles():
    options = CyclicOptions(begin=0, end=1)

    densities = [1 - cyclic(eighth / 8, 0.9, options) for eighth in range(9)]

    assert densities == pytest.approx([0.1, 0.2, 0.3, 0.2, 0.1, 0.2, 0.3, 0.2, 0.1])
    assert cyclic(0, 0.9, options) == cyclic(1, 0.9, options) == 0.9


def test_cyclic_density_is_at_most_1_and_final_before_it_begins():
    assert cyclic(0.25, 0.5, CyclicOptions(end=1)) == 0  # 3 * 0.5 would be 1.5
    assert cyclic(0.1, 0.5, CyclicOptions(begin=0.2)) == 0.5


@pytest.mark.parametrize(
    ("options", "given"),
    [
        (GradualOptions, {"begin": 0.5, "end": 0.5}),
        (GradualOptions, {"end": 1.1}),
        (CyclicOptions, {"begin": 0.8}),
        (CyclicOptions, {"peak": 0.5}),
        (CyclicOptions, {"cycles": 0}),
        (IterativeOptions, {"rounds": 0}),
        (IterativeOptions, {"round": 3}),
    ],
)
def test_invalid_options_are_refused(options, given):
    with pytest.raises(ValidationError):
        options(**given)
