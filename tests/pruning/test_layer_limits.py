"""Layers that stay dense or have a sparsity of their own: the total stays exact to the single weight."""

from typing import Any

import pytest
import torch

from safs.errors import SparsityError, SpecError
from safs.pruning.axes.distributions import live_total
from safs.pruning.layer_limits import LayerLimits, check_limits, layer_limits
from safs.pruning.pruners import PRUNERS
from safs.pruning.selection.choose_masks import choose_masks
from safs.spec.pruning import PruneSpec
from tests.pruning.trainers import drain, perceptron, task_for, trainer_for

SIZES = {"1.weight": 64 * 32, "3.weight": 32 * 16, "5.weight": 16 * 10}
SHAPES = {name: torch.Size(shape) for name, shape in zip(SIZES, [(32, 64), (16, 32), (10, 16)], strict=True)}
TOTAL = sum(SIZES.values())
METHODS = ("magnitude", "gradient", "synflow", "lookahead", "random", "greg1", "greg2", "ap", "set", "rigl", "east")


def _counts(masks: dict[str, torch.Tensor]) -> dict[str, int]:
    return {name: int(mask.sum()) for name, mask in masks.items()}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_layers_dense_and_the_total_exact(method: str) -> None:
    epochs = {"greg1": 2, "greg2": 2, "ap": 3, "set": 2, "rigl": 2, "east": 2}.get(method, 0)
    options = {"rounds": 2} if method == "ap" else {}
    spec = PruneSpec(method=method, epochs=epochs, options=options, exclude=["5"], sparsity_of={"3": 0.5})
    PRUNERS[method].check(task_for(perceptron(), 0.8, spec))

    pruned = drain(PRUNERS[method].prune(trainer_for(perceptron(), epochs), 0.8, spec))[1]

    live = _counts(pruned.masks)
    assert live["5.weight"] == SIZES["5.weight"]
    assert live["3.weight"] == 256
    assert sum(live.values()) == live_total(TOTAL, 0.8)
    weights = dict(pruned.model.named_parameters())
    assert {name: int(weights[name].count_nonzero()) for name in live} == live


@pytest.mark.parametrize("distribution", ["global", "erk", "lamp", "uniform"])
@pytest.mark.parametrize("granularity", ["weight", "row", "column", "2:4"])
def test_every_distribution_and_granularity_keeps_layers_dense(distribution: str, granularity: str) -> None:
    if granularity == "2:4" and distribution in ("erk", "lamp"):
        return
    scores = {name: torch.rand(shape, generator=torch.Generator().manual_seed(0)) for name, shape in SHAPES.items()}
    live = SIZES["1.weight"] // 2 + SIZES["3.weight"] // 2 + SIZES["5.weight"]

    masks = choose_masks(
        scores, live, distribution=distribution, granularity=granularity, limits=LayerLimits({"5.weight": 0})
    )

    assert _counts(masks)["5.weight"] == SIZES["5.weight"]
    assert sum(_counts(masks).values()) == live


@pytest.mark.parametrize("schedule", ["iterative", "cubic", "cyclic"])
def test_schedules_keep_layers_dense_at_every_step(schedule: str) -> None:
    spec = PruneSpec(schedule=schedule, epochs=4, exclude=["5"], sparsity_of={"3": 0.25})
    trainer = trainer_for(perceptron(), 4)

    pruned = drain(PRUNERS["magnitude"].prune(trainer, 0.7, spec))[1]

    assert _counts(pruned.masks)["3.weight"] == 384
    assert sum(_counts(pruned.masks).values()) == live_total(TOTAL, 0.7)
    steps = [record.masks for record in (*trainer.trainings, *trainer.updates) if record.masks]
    assert len(steps) > 1
    assert all(bool(masks["5.weight"].all()) for masks in steps)
    assert all(int(masks["3.weight"].sum()) >= 384 for masks in steps)


@pytest.mark.parametrize("method", ["magnitude", "greg1", "joint_input"])
def test_filters_and_neurons_go_around_the_limited_layers(method: str) -> None:
    epochs = 0 if method == "magnitude" else 2
    spec = PruneSpec(method=method, granularity="filter", epochs=epochs, exclude=["3"], sparsity_of={"11": 0.5})
    model = perceptron(widths=(32, 16, 24, 20, 16))
    weights = sum(parameter.numel() for name, parameter in model.named_parameters() if parameter.dim() == 2)
    PRUNERS[method].check(task_for(perceptron(widths=(32, 16, 24, 20, 16)), 0.2, spec))

    pruned = drain(PRUNERS[method].prune(trainer_for(model, epochs), 0.2, spec))[1]

    state = dict(pruned.model.named_parameters())
    live = {name: int(state[name].count_nonzero()) for name in pruned.masks}
    assert sum(live.values()) == live_total(weights, 0.2)
    assert live["3.weight"] == state["3.weight"].numel() == 32 * 16
    assert live["11.weight"] == 10 * 16 // 2
    assert state["11.weight"].shape == (10, 16)
    assert state["7.weight"].numel() < 20 * 24  # units between the two go
    assert state["1.weight"].shape[0] == 32  # its neurons are inputs of a layer that stays dense


def test_inputs_stay_if_the_layer_that_reads_them_is_limited() -> None:
    spec = PruneSpec(method="joint_input", epochs=2, exclude=["1"])

    pruned = drain(PRUNERS["joint_input"].prune(trainer_for(perceptron(), 2), 0.2, spec))[1]

    assert pruned.form.inputs is None
    assert int(pruned.model.get_parameter("1.weight").count_nonzero()) == SIZES["1.weight"]
    assert sum(_counts(pruned.masks).values()) == live_total(TOTAL, 0.2)


@pytest.mark.parametrize(
    ("given", "sparsity", "error", "words"),
    [
        ({"exclude": ["fc"]}, 0.5, SpecError, r"prune\.exclude: 'fc' matches no prunable layer\. Layers: 1, 3, 5"),
        ({"exclude": ["1"], "sparsity_of": {"*": 0.5}}, 0.5, SpecError, "name it once"),
        (
            {"exclude": ["1"]},
            0.5,
            SparsityError,
            r"removes 1,360 of 2,720 weights, but at most 670 may go.*at most 0\.24",
        ),
        (
            {"sparsity_of": {"1": 0.9}},
            0.5,
            SparsityError,
            r"but prune\.sparsity_of alone removes 1,843\..*at least 0\.67",
        ),
        ({"exclude": ["3"], "granularity": "filter"}, 0.1, SparsityError, r"0 groups.*prune\.exclude.*at most 0\.0"),
        (
            {"exclude": ["1"], "granularity": "filter"},
            0.24,
            SparsityError,
            r"one unit in each of its 1 groups of filters and neurons, and the layers.*has 2090\..* at most 0\.2316",
        ),
        ({"sparsity_of": {"1": 0.9}, "granularity": "filter"}, 0.5, SparsityError, "alone removes 1,843"),
        (
            {"exclude": ["1"], "method": "east", "epochs": 2},
            0.5,
            SparsityError,
            r"keep 2048 of them, and each layer must keep one\. Choose a sparsity from 0\.0 to 0\.2463",
        ),
    ],
)
def test_what_is_impossible_is_refused_with_the_numbers(
    given: dict[str, Any], sparsity: float, error: type[Exception], words: str
) -> None:
    spec = PruneSpec(**given)

    with pytest.raises(error, match=words):
        PRUNERS[spec.method].check(task_for(perceptron(), sparsity, spec))


def test_patterns_match_paths_of_modules() -> None:
    limits = layer_limits(PruneSpec(exclude=["[13]"], sparsity_of={"5": 0.5}), SHAPES)

    assert limits.zeros == {"1.weight": 0, "3.weight": 0, "5.weight": 80}


def test_limits_that_fit_exactly_are_accepted() -> None:
    limits = LayerLimits({"1.weight": 1024})

    check_limits(SHAPES, 1024 / TOTAL, limits)

    assert limits.live_at(SHAPES, TOTAL - 512) == {"1.weight": SIZES["1.weight"] - 512}
