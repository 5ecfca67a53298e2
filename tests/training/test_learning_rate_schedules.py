"""Learning rates, against numbers worked by hand."""

from itertools import combinations
from math import cos, isfinite, pi

import pytest
import torch

from safs.training.learning_rate_schedules import SCHEDULES


def rates(name: str, epochs: int, steps: int = 3, losses: list[float] | None = None, base: float = 1.0) -> list[float]:
    """The learning rate at every step."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=base, momentum=0.7)
    schedule = SCHEDULES[name].make(optimizer, epochs, steps)
    used = []
    for epoch in range(epochs):
        for _ in range(steps):
            used.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step_done()
        schedule.epoch_done(losses[epoch] if losses else 1.0)
    assert optimizer.param_groups[0]["momentum"] == 0.7
    return used


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(("epochs", "steps"), [(1, 1), (1, 2), (1, 50), (2, 1), (3, 4), (30, 2)])
def test_every_schedule_lasts_any_training_and_never_exceeds_the_recipes_rate(name, epochs, steps):
    used = rates(name, epochs, steps, base=1e-5)

    assert len(used) == epochs * steps
    assert all(isfinite(rate) and 0 < rate <= 1e-5 * (1 + 1e-9) for rate in used)
    assert SCHEDULES[name].summary


BY_STEP = [name for name in SCHEDULES if name != "plateau"]
"""Schedules that depend on the share of the steps alone; ``plateau`` depends on the losses."""


@pytest.mark.parametrize("name", BY_STEP)
@pytest.mark.parametrize(("epochs", "steps"), [(20, 16), (5, 64), (80, 4)])
def test_a_schedule_means_the_same_in_a_run_of_any_length(name, epochs, steps):
    short, other = rates(name, epochs=5, steps=16), rates(name, epochs, steps)

    at_the_same_share = [other[4 * step] for step in range(80)]
    assert at_the_same_share == pytest.approx(short, abs=0.06 if name == "one_cycle" else 1e-9)


def test_in_five_epochs_no_schedule_is_another_one():
    courses = {name: rates(name, epochs=5, steps=16, losses=[3.0, 2.0, 2.0, 2.0, 2.0]) for name in SCHEDULES}

    alike = [
        (one, other)
        for one, other in combinations(courses, 2)
        if max(abs(a - b) for a, b in zip(courses[one], courses[other], strict=True)) < 0.05
    ]

    assert alike == []


def by_epoch(name: str, epochs: int, losses: list[float] | None = None) -> list[float]:
    return rates(name, epochs, steps=1, losses=losses)


def test_constant_stays():
    assert by_epoch("constant", 3) == [1.0, 1.0, 1.0]


def test_cosine_falls_by_half_a_cosine_over_all_epochs():
    assert by_epoch("cosine", 4) == pytest.approx([(1 + cos(pi * epoch / 4)) / 2 for epoch in range(4)])


def test_cosine_restarts_every_quarter():
    low = 5e-4
    middle = low + (1 - low) / 2
    assert by_epoch("cosine_restarts", 8) == pytest.approx([1.0, middle] * 4)


def test_step_takes_a_tenth_after_every_quarter():
    assert by_epoch("step", 8) == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001])


def test_multistep_takes_a_tenth_at_half_and_at_three_quarters():
    assert by_epoch("multistep", 8) == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])
    assert by_epoch("multistep", 3) == pytest.approx([1, 1, 0.1])
    assert by_epoch("multistep", 1) == [1.0]
    published = by_epoch("multistep", 250)  # Li et al. (2025): at 125 and 187, the whole epochs
    assert [epoch for epoch in range(1, 250) if published[epoch] != published[epoch - 1]] == [125, 188]


def test_warm_up_rises_over_half_of_the_run_and_falls_as_ap_is_published():
    assert by_epoch("warm_up", 4) == pytest.approx([0.001, 0.5005, 0.1, 0.01])
    published = by_epoch("warm_up", 50)  # Liu et al. (2022): epochs 25 and 32 of 50
    assert published[24] == pytest.approx(0.001 + 0.999 * 0.96)
    assert published[25:32] == pytest.approx([0.1] * 7)
    assert published[32:] == pytest.approx([0.01] * 18)


def test_halving_takes_half_after_every_tenth():
    assert by_epoch("halving", 20) == pytest.approx([0.5 ** (epoch // 2) for epoch in range(20)])
    published = by_epoch("halving", 200)  # SAFS's VGG-16: every 20 of 200 epochs
    assert [epoch for epoch in range(1, 200) if published[epoch] != published[epoch - 1]] == list(range(20, 200, 20))


def test_linear_rises_from_a_tenth_over_the_first_sixteenth():
    assert by_epoch("linear", 80)[:7] == pytest.approx([0.1, 0.28, 0.46, 0.64, 0.82, 1.0, 1.0])  # SAFS's trials
    assert by_epoch("linear", 80)[5:] == [1.0] * 75


@pytest.mark.parametrize(("epochs", "patience"), [(5, 1), (20, 1), (50, 2), (80, 3), (200, 8)])
def test_plateau_takes_a_twentieth_once_the_loss_has_not_fallen_for_a_twenty_fifth_of_the_epochs(epochs, patience):
    losses = [3.0, 2.0] + [2.0] * (epochs - 2)

    used = by_epoch("plateau", epochs, losses)

    assert used[: 2 + patience + 1] == pytest.approx([1] * (2 + patience) + [0.05])


def test_one_cycle_rises_over_the_first_three_tenths_of_the_steps_and_ends_near_zero():
    used = rates("one_cycle", epochs=4, steps=10)

    assert used[0] == pytest.approx(1 / 25)
    assert used.index(max(used)) == 11  # 0.3 * 40 - 1
    assert max(used) == pytest.approx(1.0)
    assert used[-1] == pytest.approx(1 / 25 / 1e4)
