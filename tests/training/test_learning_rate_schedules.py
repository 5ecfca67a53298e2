"""Learning rates, against numbers worked by hand."""

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


@pytest.mark.parametrize("name", [name for name in SCHEDULES if name != "one_cycle"])
def test_within_an_epoch_the_rate_stays(name):
    used = rates(name, epochs=8, steps=5)

    assert all(len(set(used[start : start + 5])) == 1 for start in range(0, 40, 5))


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
    assert by_epoch("multistep", 3) == pytest.approx([1, 0.1, 0.01])
    assert by_epoch("multistep", 1) == [1.0]
    published = by_epoch("multistep", 250)  # Li et al. (2025): at 125 and 187
    assert [epoch for epoch in range(1, 250) if published[epoch] != published[epoch - 1]] == [125, 187]


def test_halving_takes_half_after_20_epochs():
    assert by_epoch("halving", 41) == pytest.approx([1.0] * 20 + [0.5] * 20 + [0.25])


def test_linear_rises_from_a_tenth_over_five_epochs():
    assert by_epoch("linear", 7) == pytest.approx([0.1, 0.28, 0.46, 0.64, 0.82, 1.0, 1.0])


def test_plateau_takes_a_twentieth_once_the_loss_has_not_fallen_for_three_epochs():
    losses = [3.0, 2.0, 2.0, 2.0, 2.0, 1.0]
    assert by_epoch("plateau", 6, losses) == pytest.approx([1, 1, 1, 1, 1, 0.05])


def test_one_cycle_rises_over_the_first_three_tenths_of_the_steps_and_ends_near_zero():
    used = rates("one_cycle", epochs=4, steps=10)

    assert used[0] == pytest.approx(1 / 25)
    assert used.index(max(used)) == 11  # 0.3 * 40 - 1
    assert max(used) == pytest.approx(1.0)
    assert used[-1] == pytest.approx(1 / 25 / 1e4)
