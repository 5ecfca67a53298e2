from typing import Any

import pytest
from pydantic import ValidationError

from safs.errors import UnknownNameError
from safs.pruning.pruners import PRUNERS
from safs.spec.final import FinalCandidate
from safs.spec.job import JobSpec
from safs.spec.presets import METHODS, PRESET_SUMMARIES, PRESETS, fill
from safs.spec.training import Recipe

MINIMAL: dict[str, Any] = {"model": {"architecture": "lenet5"}, "data": {"dataset": "digits"}, "sparsity": 0.99}

# The job of the design document, every section written out.
WHOLE: dict[str, Any] = {
    "model": {"architecture": "lenet5", "weights": None},
    "data": {"dataset": "digits", "validation_fraction": 0.1, "batch_size": 256, "augment": "default"},
    "sparsity": 0.99,
    "preset": "balanced",
    "train": {"epochs": 30, "optimizer": "adam", "learning_rate": 1.0e-3},
    "prune": {
        "method": "magnitude",
        "score": "magnitude",
        "distribution": "global",
        "schedule": "cubic",
        "granularity": "weight",
        "epochs": 5,
        "recipe": {"optimizer": "sgd", "learning_rate": 3e-2, "momentum": 0.9},
        "options": {},
        "search": {
            "starts": 5,
            "epochs": 8,
            "distributions": ["global", "lamp", "erk"],
            "schedules": ["cubic", "one_shot"],
            "recipes": [{"optimizer": "sgd", "learning_rate": rate, "momentum": 0.9} for rate in (3e-2, 1e-2, 1e-1)],
        },
    },
    "activations": {"strategy": "lahc", "trials": 22, "epochs": 8, "operators": "all", "scope": "site"},
    "tune": {"strategy": "smac", "trials": 20, "epochs": 8},
    "joint": {"strategy": "asha", "trials": 9, "epochs": 8},
    "final": {"epochs": 20, "repeats": 1, "candidates": ["one_shot", "default", "joint"]},
    "resources": {"trials_in_parallel": "auto", "gpus_per_trial": "auto", "time_limit_s": None},
    "seed": 0,
}


def test_three_fields_are_enough_and_the_balanced_preset_fills_the_rest() -> None:
    assert JobSpec.model_validate(MINIMAL) == JobSpec.model_validate(WHOLE)


def test_a_spec_survives_json() -> None:
    spec = JobSpec.model_validate(MINIMAL | {"preset": "paper"})

    assert JobSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize("preset", list(PRESETS))
def test_every_preset_fills_a_minimal_job_and_says_what_it_is_for(preset: str) -> None:
    spec = JobSpec.model_validate(MINIMAL | {"preset": preset})

    assert spec.preset == preset
    assert PRESET_SUMMARIES[preset]


def test_the_paper_preset_is_safs_as_published() -> None:
    spec = JobSpec.model_validate(MINIMAL | {"preset": "paper"})

    assert spec.prune.distribution == "uniform"
    assert (spec.activations.trials, spec.activations.epochs) == (22, 80)
    assert (spec.tune.trials, spec.tune.epochs) == (20, 80)
    assert (spec.train.epochs, spec.final.epochs) == (200, 200)
    assert (spec.train.optimizer, spec.train.learning_rate, spec.train.weight_decay) == ("adam", 1e-3, 5e-4)


def test_acon_starts_as_published_under_the_paper_preset_alone() -> None:
    starts = {
        preset: JobSpec.model_validate(MINIMAL | {"preset": preset}).activations.acon_start
        for preset in ("quick", "balanced", "paper")
    }

    assert starts == {"quick": "swish", "balanced": "swish", "paper": "identity"}


def test_the_paper_preset_trains_vgg_with_its_own_recipe() -> None:
    spec = JobSpec.model_validate(MINIMAL | {"preset": "paper", "model": {"architecture": "vgg16"}})

    assert (spec.train.optimizer, spec.train.schedule) == ("sgd", "halving")


def test_what_the_user_says_wins_over_the_preset() -> None:
    spec = JobSpec.model_validate(MINIMAL | {"preset": "paper", "activations": {"epochs": 3}})

    assert (spec.activations.trials, spec.activations.epochs) == (22, 3)


def test_filling_leaves_the_users_dict_alone() -> None:
    given = {"activations": {"epochs": 3}}

    fill(given, "quick")

    assert given == {"activations": {"epochs": 3}}


def test_filling_from_an_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="quick, balanced, paper"):
        fill({}, "fast")


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"sparsity": 1.0}, ("sparsity",)),
        ({"sparsity": -0.1}, ("sparsity",)),
        ({"sparsity": float("nan")}, ("sparsity",)),
        ({"model": {"architectur": "lenet5"}}, ("model", "architecture")),
        ({"data": {"dataset": "digits", "batch_size": 0}}, ("data", "batch_size")),
        ({"preset": "fast"}, ("preset",)),
        ({"tune": {"trials": 0}}, ("tune", "trials")),
        ({"colour": "red"}, ("colour",)),
        ({"resources": {"time_limit_s": 0}}, ("resources", "time_limit_s")),
        ({"activations": 7}, ("activations",)),
        ({"resources": {"gpus_per_trial": 1.5}}, ("resources", "gpus_per_trial", "constrained-float")),
    ],
)
def test_a_wrong_value_is_named_by_its_place(change: dict[str, Any], place: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError) as error:
        JobSpec.model_validate(MINIMAL | change)

    assert place in [tuple(problem["loc"]) for problem in error.value.errors()]


def test_an_unknown_preset_is_the_only_error_reported() -> None:
    with pytest.raises(ValidationError) as error:
        JobSpec.model_validate(MINIMAL | {"preset": "fast"})

    assert len(error.value.errors()) == 1


def test_the_baseline_cannot_be_left_out_of_the_final_comparison() -> None:
    with pytest.raises(ValidationError, match="its own baseline"):
        JobSpec.model_validate(MINIMAL | {"final": {"candidates": [FinalCandidate.SAFS]}})


def test_a_final_candidate_named_twice_is_refused() -> None:
    with pytest.raises(ValidationError, match="twice"):
        JobSpec.model_validate(MINIMAL | {"final": {"candidates": ["default", "safs", "safs"]}})


def test_a_method_fills_what_it_needs_and_what_is_given_wins() -> None:
    greg = JobSpec.model_validate(MINIMAL | {"prune": {"method": "greg1", "epochs": 4}}).prune
    rigl = JobSpec.model_validate(MINIMAL | {"prune": {"method": "rigl", "distribution": "uniform"}}).prune

    assert (greg.schedule, greg.epochs, greg.distribution) == ("growing", 4, "global")
    assert greg.recipe is not None
    assert greg.recipe.optimizer == "sgd"
    assert (rigl.schedule, rigl.distribution, rigl.recipe) == ("dynamic", "uniform", None)


@pytest.mark.parametrize(("schedule", "epochs"), [("one_shot", 0), ("cubic", 20)])
def test_a_schedule_that_trains_gets_as_many_epochs_as_the_dense_training(schedule: str, epochs: int) -> None:
    spec = JobSpec.model_validate(MINIMAL | {"preset": "quick", "prune": {"schedule": schedule, "search": None}})

    assert spec.prune.epochs == epochs


def test_the_papers_uniform_distribution_does_not_override_what_a_method_is_made_of() -> None:
    spec = JobSpec.model_validate(MINIMAL | {"preset": "paper", "prune": {"method": "rigl"}})

    assert spec.prune.distribution == "erk"


def test_every_pruning_method_survives_json_and_the_registries_name_the_same_methods() -> None:
    assert list(METHODS) == list(PRUNERS)
    for method in METHODS:
        spec = JobSpec.model_validate(MINIMAL | {"prune": {"method": method}})
        assert JobSpec.model_validate_json(spec.model_dump_json()) == spec


def test_east_brings_its_published_recipe() -> None:
    train = {"optimizer": "adam", "learning_rate": 0.003}
    published = {"learning_rate": 0.1, "weight_decay": 1e-4, "momentum": 0.9, "nesterov": True, "schedule": "multistep"}

    east = JobSpec.model_validate(MINIMAL | {"train": train, "prune": {"method": "east"}})

    assert east.prune.recipe == Recipe(optimizer="sgd", **published)
    assert (east.train.optimizer, east.train.learning_rate, east.train.nesterov) == ("adam", 0.003, False)


def test_a_recipe_of_pruning_that_names_one_number_keeps_the_others() -> None:
    train = {"optimizer": "sgd", "learning_rate": 0.1, "schedule": "cosine"}
    greg = JobSpec.model_validate(MINIMAL | {"prune": {"method": "greg1", "recipe": {"learning_rate": 0.05}}}).prune
    rigl = JobSpec.model_validate(
        MINIMAL | {"train": train, "prune": {"method": "rigl", "recipe": {"learning_rate": 0.05}}}
    ).prune

    assert greg.recipe == Recipe(optimizer="sgd", learning_rate=0.05, momentum=0.9)
    assert rigl.recipe == Recipe(optimizer="sgd", learning_rate=0.05, schedule="cosine")
