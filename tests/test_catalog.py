"""The catalog has every name that a job can use, with a summary."""

import json

import pytest

from safs.activations.operators import OPERATORS
from safs.catalog import catalog
from safs.data import DATASETS
from safs.models import MODELS, known_architectures
from safs.pruning.axes.distributions import DISTRIBUTIONS
from safs.pruning.axes.granularity import GRANULARITIES
from safs.pruning.axes.schedules import PRUNING_SCHEDULES
from safs.pruning.axes.scores import SCORES
from safs.pruning.pruners import PRUNERS
from safs.registry import Registry
from safs.search import STRATEGIES
from safs.spec.job import JobSpec
from safs.spec.presets import PRESETS
from safs.training.learning_rate_schedules import SCHEDULES
from safs.training.optimizers import OPTIMIZERS


@pytest.mark.parametrize(
    ("kind", "registry"),
    [
        ("datasets", DATASETS),
        ("operators", OPERATORS),
        ("methods", PRUNERS),
        ("scores", SCORES),
        ("distributions", DISTRIBUTIONS),
        ("pruning_schedules", PRUNING_SCHEDULES),
        ("strategies", STRATEGIES),
        ("optimizers", OPTIMIZERS),
        ("schedules", SCHEDULES),
        ("presets", PRESETS),
    ],
)
def test_every_name_of_a_registry_is_in_the_catalog(kind: str, registry: Registry[object]) -> None:
    assert [entry.name for entry in catalog()[kind]] == list(registry)


def test_granularities_include_the_n_of_m_pattern() -> None:
    assert [entry.name for entry in catalog()["granularities"]] == [*GRANULARITIES, "<n>:<m>"]


def test_a_method_has_its_defaults_and_its_options_with_descriptions() -> None:
    found = {entry.name: entry.details for entry in catalog()["methods"]}

    axes = {"score": "magnitude", "distribution": "erk", "schedule": "dynamic", "granularity": "weight"}
    assert found["rigl"]["defaults"] == axes | {"recipe": None}
    assert found["rigl"]["options"]["until"] == "share of the training after which no connection moves (default 0.75)"
    assert (found["rigl"]["from_scratch"], found["magnitude"]["from_scratch"]) == (True, False)
    assert found["magnitude"]["defaults"]["schedule"] == "one_shot"


def test_a_pruning_schedule_has_its_options() -> None:
    found = {entry.name: entry.details["options"] for entry in catalog()["pruning_schedules"]}

    assert list(found["cyclic"]) == ["begin", "end", "cycles", "peak"]
    assert found["iterative"]["rounds"].endswith("(default 5)")


def test_the_models_are_our_own_and_then_torchvisions() -> None:
    names = [entry.name for entry in catalog()["models"]]

    assert names == list(known_architectures())
    assert names[: len(MODELS)] == list(MODELS)
    assert "torchvision/resnet18" in names


def test_every_entry_has_a_summary_and_plain_details() -> None:
    for kind, entries in catalog().items():
        for entry in entries:
            assert entry.summary.strip(), (kind, entry.name)
            assert json.loads(json.dumps(entry.details)) == entry.details, (kind, entry.name)


def test_operators_have_formula_and_scalars_and_strategies_have_stages() -> None:
    found = {entry.name: entry.details for kind in ("operators", "strategies") for entry in catalog()[kind]}

    assert all(found[name]["formula"] for name in OPERATORS)
    assert found["swish"]["scalars"] == ["alpha", "beta"]
    assert found["lahc"]["stages"] == ["activations"]
    assert found["smac"]["stages"] == ["activations", "tune", "joint"]
    assert found["asha"]["multi_fidelity"]
    assert set(found["asha"]["options"]) == {"eta", "min_epochs"}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_lists_what_a_job_that_says_nothing_about_pruning_gets(preset: str) -> None:
    details = next(entry for entry in catalog()["presets"] if entry.name == preset).details
    job = {"model": {"architecture": "mlp"}, "data": {"dataset": "digits"}, "sparsity": 0.9, "preset": preset}
    spec = JobSpec.model_validate(job).model_dump(mode="json")

    for section, values in details.items():
        for name, value in values.items():
            found = spec[section][name]
            assert {key: found[key] for key in value} == value if isinstance(value, dict) else found == value


def test_changing_a_catalog_changes_no_preset() -> None:
    epochs = PRESETS["quick"]["train"]["epochs"]

    next(entry for entry in catalog()["presets"] if entry.name == "quick").details["train"]["epochs"] = -1

    assert PRESETS["quick"]["train"]["epochs"] == epochs
