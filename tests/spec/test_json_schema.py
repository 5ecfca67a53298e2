"""The JSON schema of a job, from which clients are generated: they send every ``default`` that it states."""

from typing import Any

import pytest

from safs.spec.job import JobSpec
from safs.spec.presets import _PAPER_RECIPES, METHODS, PRESETS

SCHEMA = JobSpec.model_json_schema()
DEFINITIONS: dict[str, Any] = SCHEMA["$defs"]
SECTION_TYPES = {
    "train": "TrainSpec",
    "prune": "PruneSpec",
    "activations": "ActivationsSpec",
    "tune": "TuneSpec",
    "joint": "JointSpec",
    "final": "FinalSpec",
}


def _filled() -> set[tuple[str, str]]:
    """(section, field) of everything that a preset or a method fills in."""
    by_preset = {
        (section, name) for preset in PRESETS.values() for section, fields in preset.items() for name in fields
    }
    by_recipe = {("train", name) for recipe in _PAPER_RECIPES.values() for name in recipe}
    by_method = {("prune", name) for method in METHODS.values() for name in method}
    return by_preset | by_recipe | by_method | {("prune", "epochs")}


@pytest.mark.parametrize(("section", "name"), sorted(_filled()))
def test_a_field_that_a_preset_or_a_method_fills_has_no_default_and_says_who_fills_it(section: str, name: str) -> None:
    field = DEFINITIONS[SECTION_TYPES[section]]["properties"][name]

    assert "default" not in field
    assert "If left out" in field["description"]


@pytest.mark.parametrize("name", list(DEFINITIONS["Recipe"]["properties"]))
def test_a_recipe_of_pruning_has_no_defaults_since_method_and_dense_recipe_fill_it(name: str) -> None:
    assert "default" not in DEFINITIONS["Recipe"]["properties"][name]


@pytest.mark.parametrize("section", list(SECTION_TYPES))
def test_no_section_that_is_filled_has_a_default_as_a_whole(section: str) -> None:
    assert "default" not in SCHEMA["properties"][section]


def test_fields_that_nothing_fills_state_their_default() -> None:
    assert DEFINITIONS["DataSpec"]["properties"]["batch_size"]["default"] == 256
    assert SCHEMA["properties"]["seed"]["default"] == 0


@pytest.mark.parametrize("method", list(METHODS))
def test_sending_every_stated_default_changes_no_job(method: str) -> None:
    def stated(definition: str) -> dict[str, Any]:
        fields = DEFINITIONS[definition]["properties"]
        return {name: field["default"] for name, field in fields.items() if "default" in field}

    job: dict[str, Any] = {
        "model": {"architecture": "lenet5"},
        "data": {"dataset": "digits"},
        "sparsity": 0.5,
        "preset": "paper",
        "prune": {"method": method},
    }
    sent = job | {section: stated(kind) | job.get(section, {}) for section, kind in SECTION_TYPES.items()}
    sent |= {"resources": stated("ResourcesSpec"), "prune": stated("PruneSpec") | job["prune"]}

    assert JobSpec.model_validate(sent) == JobSpec.model_validate(job)


def test_every_field_of_a_section_has_a_description() -> None:
    undescribed = [
        f"{kind}.{name}"
        for kind in (*SECTION_TYPES.values(), "ModelSpec", "DataSpec", "ResourcesSpec", "Recipe")
        for name, field in DEFINITIONS[kind]["properties"].items()
        if "description" not in field
    ]

    assert undescribed == []
