"""The check of a target before a job runs."""

from typing import Any

import pytest
import torch
from torch import nn

from safs.errors import SparsityError, SpecError
from safs.networks import Blueprint
from safs.pruning.protocol import PruningTask
from safs.spec.pruning import PruneSpec
from safs.spec.target import TargetSpec
from safs.targets.reach import expected_sparsity, least_live


def _task(prune: dict[str, Any] | None = None, model: nn.Module | None = None) -> PruningTask:
    with torch.device("meta"):
        model = model or Blueprint("lenet5", 1, 28, 10).build()
        example = torch.zeros(1, 1, 28, 28)
    return PruningTask(model, example, 0.0, PruneSpec.model_validate(prune or {}), 10)


def test_equal_shares_reach_a_fraction_of_the_operations_at_the_same_density() -> None:
    assert expected_sparsity(_task({"distribution": "uniform"}), TargetSpec(flops=0.3)) == pytest.approx(0.7, abs=1e-3)


def test_erk_removes_more_weights_for_the_same_operations_and_excluded_layers_count_in_full() -> None:
    uniform = expected_sparsity(_task(), TargetSpec(flops=0.5))

    assert expected_sparsity(_task({"distribution": "erk"}), TargetSpec(flops=0.5)) > uniform
    assert expected_sparsity(_task({"exclude": ["conv1"]}), TargetSpec(flops=0.5)) > uniform


def test_fewer_bytes_take_a_higher_sparsity() -> None:
    task = _task()

    sparsities = [expected_sparsity(task, TargetSpec(bytes=size)) for size in (100_000, 20_000, 5_000)]

    assert sparsities == sorted(sparsities)
    assert 0.5 < sparsities[0] < sparsities[-1] < 1


@pytest.mark.parametrize(
    ("prune", "target"),
    [
        ({"exclude": ["conv*"]}, TargetSpec(flops=0.1)),
        ({"granularity": "filter"}, TargetSpec(flops=0.001)),
        ({}, TargetSpec(bytes=500)),
        ({"distribution": "uniform"}, TargetSpec(bytes=2000)),
    ],
)
def test_an_unreachable_target_is_refused_and_the_nearest_that_is_named_is_accepted(
    prune: dict[str, Any], target: TargetSpec
) -> None:
    with pytest.raises(SparsityError, match=f"target.{target.measure} .* cannot be reached") as error:
        expected_sparsity(_task(prune), target)

    assert error.value.field == f"target.{target.measure}"
    nearest = error.value.message.partition("Choose at least ")[2].split(",")[0]
    value = int(nearest) if target.measure == "bytes" else float(nearest)
    assert value > target.value
    expected_sparsity(_task(prune), TargetSpec(**{target.measure: value}))


def test_a_pattern_has_a_single_sparsity_and_takes_no_target() -> None:
    with pytest.raises(SpecError, match="single sparsity") as error:
        expected_sparsity(_task({"granularity": "2:4"}), TargetSpec(flops=0.5))

    assert error.value.field == "target"


def test_the_fewest_weights_are_one_for_each_layer_or_one_unit_for_each_group() -> None:
    layers = 5

    assert least_live(_task()) == layers
    assert least_live(_task({"granularity": "filter"})) > layers
