"""A front in a job spec: several sparsities, of which the search runs at one."""

from typing import Any

import pytest
from pydantic import ValidationError

from safs.pruning.methods import composed
from safs.pruning.pruners import PRUNERS
from safs.spec.front import PASSES, passes_sparsities, pruning_epochs
from safs.spec.job import JobSpec
from safs.spec.pruning import PruneSpec

BODY: dict[str, Any] = {"model": {"architecture": "lenet5"}, "data": {"dataset": "digits"}}


def test_a_list_of_sparsities_is_a_front_whose_search_runs_at_the_highest() -> None:
    spec = JobSpec.model_validate(BODY | {"sparsity": [0.99, 0.9, 0.95]})

    assert (spec.sparsity, spec.front) == (0.99, [0.9, 0.95, 0.99])
    assert JobSpec.model_validate(spec.model_dump(mode="json")) == spec


def test_the_search_runs_at_any_sparsity_of_the_front() -> None:
    spec = JobSpec.model_validate(BODY | {"sparsity": 0.95, "front": [0.9, 0.95, 0.99]})

    assert spec.sparsity == 0.95


def test_a_single_sparsity_has_no_front() -> None:
    assert JobSpec.model_validate(BODY | {"sparsity": 0.9}).front is None


@pytest.mark.parametrize(
    ("given", "field", "problem"),
    [
        ({"sparsity": [0.9, 1.2]}, ("sparsity", 1), "less than 1"),
        ({"sparsity": [0.9]}, ("sparsity",), "at least 2"),
        ({"sparsity": [0.9, 0.9]}, ("sparsity",), "twice"),
        ({"sparsity": ["0.9", 0.95]}, ("sparsity", 0), "valid number"),
        ({"sparsity": [0.5 + place / 100 for place in range(21)]}, ("sparsity",), "at most 20"),
        ({"sparsity": 0.5, "front": [0.9, 0.95]}, ("front",), "0.5 is not"),
        ({"sparsity": 0.9, "accuracy_floor": 0.9}, ("accuracy_floor",), "give several sparsities"),
        ({"sparsity": 0.9, "accuracy_drop": 0.1}, ("accuracy_drop",), "give several sparsities"),
        ({"sparsity": [0.8, 0.9], "accuracy_drop": 0.1, "accuracy_floor": 0.9}, ("accuracy_floor",), "give either"),
    ],
)
def test_what_is_no_front_is_refused_with_its_field(given: dict[str, Any], field: Any, problem: str) -> None:
    with pytest.raises(ValidationError) as raised:
        JobSpec.model_validate(BODY | given)

    (error,) = raised.value.errors()
    assert error["loc"] == field
    assert problem in error["msg"]


def test_gradual_pruning_passes_the_sparsities_and_takes_a_quarter_of_its_epochs_for_each_after_the_first() -> None:
    assert pruning_epochs(PruneSpec(schedule="cubic", epochs=5), [0.9, 0.95, 0.99]) == [5, 2, 2]


@pytest.mark.parametrize("prune", [PruneSpec(), PruneSpec(method="ap", epochs=3), PruneSpec(granularity="filter")])
def test_other_pruning_starts_from_the_dense_network_for_each_sparsity(prune: PruneSpec) -> None:
    assert not passes_sparsities(prune)
    assert pruning_epochs(prune, [0.9, 0.99]) == [prune.epochs, prune.epochs]


def test_the_methods_that_pass_sparsities_are_those_that_prune_by_the_four_axes_alone() -> None:
    assert {name for name, pruner in PRUNERS.items() if pruner.prune is composed.prune} == PASSES
