"""Which pruned starts a job compares, by its preset and what it says about pruning."""

from typing import Any

import pytest

from safs.spec.job import JobSpec
from safs.spec.starts import comparison_of, one_shot, starts_of

MINIMAL: dict[str, Any] = {"model": {"architecture": "lenet5"}, "data": {"dataset": "digits"}, "sparsity": 0.99}


def job(**changes: Any) -> JobSpec:
    return JobSpec.model_validate(MINIMAL | {"preset": "quick"} | changes)


def test_a_job_that_says_nothing_about_pruning_prunes_gradually_from_the_best_of_four_starts() -> None:
    spec = job()

    assert (spec.prune.schedule, spec.prune.epochs) == ("cubic", 4)
    assert list(starts_of(spec.prune)) == [
        "global, cubic, sgd 0.03",
        "global, one_shot",
        "global, cubic, sgd 0.01",
        "lamp, cubic, sgd 0.03",
    ]
    assert [start.epochs for start in starts_of(spec.prune).values()] == [4, 0, 4, 4]
    assert all(start.search is None for start in starts_of(spec.prune).values())
    assert spec.final.candidates == ["one_shot", "default", "joint"]


@pytest.mark.parametrize(
    ("prune", "names"),
    [
        ({"distribution": "uniform"}, ["cubic, sgd 0.03", "one_shot", "cubic, sgd 0.01", "cubic, sgd 0.1"]),
        ({"distribution": "uniform", "schedule": "cubic"}, ["cubic, sgd 0.03", "cubic, sgd 0.01", "cubic, sgd 0.1"]),
        ({"distribution": "uniform", "recipe": {"learning_rate": 0.5}}, ["cubic, sgd 0.5", "one_shot"]),
        ({"distribution": "uniform", "recipe": None}, ["cubic, train's recipe", "one_shot"]),
    ],
)
def test_what_the_job_says_about_pruning_bounds_the_starts(prune: dict[str, Any], names: list[str]) -> None:
    assert list(starts_of(job(prune=prune).prune)) == [f"uniform, {name}" for name in names]


@pytest.mark.parametrize(
    "prune",
    [
        {"search": None},
        {"schedule": "one_shot", "distribution": "erk"},
        {"schedule": "cubic", "distribution": "global", "recipe": {"optimizer": "adam"}},
        {"method": "rigl"},
        {"score": "gradient"},
        {"granularity": "filter"},
    ],
)
def test_a_job_that_leaves_nothing_open_has_no_search_and_the_budget_of_before(prune: dict[str, Any]) -> None:
    spec = job(prune=prune)

    assert spec.prune.search is None
    assert starts_of(spec.prune) == {}
    assert (spec.joint.trials, spec.final.epochs, spec.final.candidates) == (18, 20, ["default", "joint"])


def test_the_paper_preset_prunes_as_published_unless_it_is_told_to_search() -> None:
    assert job(preset="paper").prune.search is None
    assert job(preset="paper").prune.schedule == "one_shot"

    searched = job(preset="paper", prune={"search": {"starts": 3}})
    assert len(starts_of(searched.prune)) == 3
    assert searched.final.epochs == 200


@pytest.mark.parametrize("preset", ["quick", "balanced"])
@pytest.mark.parametrize("prune", [{}, {"epochs": 9}, {"recipe": None}, {"search": {"starts": 7, "epochs": 20}}])
def test_a_filled_spec_is_filled_already(preset: str, prune: dict[str, Any]) -> None:
    spec = job(preset=preset, prune=prune)

    assert JobSpec.model_validate(spec.model_dump(mode="json")) == spec


def test_starts_are_compared_one_epoch_after_the_longest_pruning_and_the_better_half_at_the_end() -> None:
    section = comparison_of(job(preset="balanced").prune)

    assert (section.strategy, section.trials, section.epochs) == ("asha", 5, 8)
    assert section.options == {"eta": 2, "min_epochs": 6}


def test_the_one_shot_form_of_a_pruning_keeps_its_distribution_alone() -> None:
    spec = job(prune={"distribution": "lamp"}).prune

    found = one_shot(spec)

    assert (found.schedule, found.epochs, found.recipe, found.distribution) == ("one_shot", 0, None, "lamp")
    assert found.search is None
