"""The trainings of a job, counted by hand."""

from typing import Any

import pytest

from safs.estimates import Count, workload
from safs.events.kinds import Stage
from safs.events.plan import plan_stages
from safs.spec.job import JobSpec

MINIMAL: dict[str, Any] = {"model": {"architecture": "lenet5"}, "data": {"dataset": "digits"}, "sparsity": 0.99}
PUBLISHED = ["default", "activations", "hyperparameters", "safs"]


def _bill(**changes: Any) -> dict[Stage, tuple[Count, Count]]:
    return {one.stage: (one.trials, one.epochs) for one in workload(JobSpec.model_validate(MINIMAL | changes))}


@pytest.mark.parametrize(
    ("preset", "trials", "epochs"),
    [
        # Dense; starts, half of which continue; the chosen pruning and the baseline's; ASHA, in which a third continues
        # from epoch 2; three finalists, of which the baseline trains for the epochs of pruning longer.
        ("quick", 1 + (4 + 2) + 2 + (7 + 2) + 3, 20 + (4 * 5 + 2) + 4 + (7 * 2 + 2 * 3) + 3 * 15 + 4),
        ("balanced", 1 + (5 + 2) + 2 + (9 + 3) + 3, 30 + (5 * 6 + 2 * 2) + 5 + (9 * 2 + 3 * 6) + 3 * 20 + 5),
        # Dense, pruning, stage 1, stage 2 twice, four finalists.
        ("paper", 1 + 1 + 22 + 2 * 20 + 4, 200 + (22 + 2 * 20) * 80 + 4 * 200),
    ],
)
def test_every_preset_is_counted(preset: str, trials: int, epochs: int) -> None:
    stages = _bill(preset=preset).values()

    assert sum(count.expected for count, _ in stages) == trials
    assert sum(count.expected for _, count in stages) == epochs
    assert all(count.low <= count.expected <= count.high for pair in stages for count in pair)


@pytest.mark.parametrize(("preset", "before"), [("quick", 116), ("balanced", 170)])
def test_choosing_how_to_prune_costs_no_more_epochs_than_the_presets_cost_before(preset: str, before: int) -> None:
    """Counted without the promotions that ASHA adds, as the presets were counted before."""
    for prune in ({}, {"search": None}):
        spec = JobSpec.model_validate(MINIMAL | {"preset": preset, "prune": prune})
        assert sum(plan.all_epochs for plan in plan_stages(spec)) <= before


def test_lahc_can_add_trials_and_runs_at_least_two() -> None:
    final = {"candidates": PUBLISHED, "epochs": 10, "repeats": 2}
    stages = _bill(activations={"strategy": "lahc", "trials": 1, "epochs": 6}, final=final)

    trials, epochs = stages[Stage.ACTIVATIONS]
    assert (trials.expected, trials.high) == (2, 5)
    # The low count saves the remaining epochs of a third of the trials.
    assert (epochs.low, epochs.expected, epochs.high) == (8, 12, 30)
    assert stages[Stage.FINAL] == (Count(8, 8, 8), Count(80, 80, 80))


def test_successive_halving_counts_promotions_as_trials_and_only_the_epochs_that_they_add() -> None:
    final = {"candidates": ["default", "joint"]}
    stages = _bill(joint={"strategy": "asha", "trials": 9, "epochs": 9, "options": {"min_epochs": 1}}, final=final)

    trials, epochs = stages[Stage.JOINT]
    # From 1 epoch by thirds: 9 of 1 epoch, 3 go on for 2, 1 for 6 more. At most all of them go on.
    assert trials.low == 13 <= trials.expected <= trials.high <= 27
    assert 14 == epochs.low <= 21 <= epochs.expected <= epochs.high <= 81


def test_given_weights_are_not_trained_and_a_method_that_trains_is_counted() -> None:
    stages = _bill(model={"architecture": "lenet5", "weights": "dense"}, prune={"method": "rigl", "epochs": 7})

    assert stages[Stage.DENSE] == (Count(0, 0, 0), Count(0, 0, 0))
    assert stages[Stage.PRUNE] == (Count(1, 1, 1), Count(7, 7, 7))
    assert stages[Stage.REPORT] == (Count(0, 0, 0), Count(0, 0, 0))
