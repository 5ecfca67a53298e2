"""Zeros that the network starts with: every method that can holds them, and the total stays exact."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from safs.errors import SafsError, SparsityError, SpecError
from safs.pruning.axes.distributions import DISTRIBUTIONS, live_total
from safs.pruning.axes.schedules import CyclicOptions, IterativeOptions, cyclic, iterative
from safs.pruning.held_zeros import capped_counts, sparsity_beyond
from safs.pruning.pruners import PRUNERS
from safs.spec.pruning import PruneSpec
from tests.pruning.trainers import count, drain, perceptron, task_for, trainer_for

SHARES = {"1.weight": 0.3, "3.weight": 0.7, "5.weight": 0.5}
"""Shares of the weights that are zero at the start."""
WEIGHTS, TARGET = 2720, 0.8


def sparse() -> nn.Module:
    """A perceptron with zeros at random places."""
    model, generator = perceptron(), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, share in SHARES.items():
            weight = model.get_parameter(name)
            weight[torch.rand(weight.shape, generator=generator) < share] = 0.0
    return model


def zeros(model: nn.Module) -> dict[str, Tensor]:
    return {name: model.get_parameter(name) == 0 for name in SHARES}


def check(spec: PruneSpec, sparsity: float = TARGET, model: nn.Module | None = None) -> None:
    model = model or sparse()
    held = {name: int(places.sum()) for name, places in zeros(model).items()}
    PRUNERS[spec.method].check(replace(task_for(model, sparsity, spec), held=held))


ONE_SHOT = [{"method": name} for name in ("magnitude", "gradient", "synflow", "lookahead", "lamp", "random")]
TRAINED = [
    {"method": "greg1", "epochs": 2},
    {"method": "greg2", "epochs": 2},
    {"method": "ap", "epochs": 3, "options": {"rounds": 2}},
    {"method": "ap", "epochs": 3, "options": {"rounds": 2}, "distribution": "erk"},
]
SCHEDULES = [
    {"schedule": schedule, "distribution": distribution, "epochs": 2, "options": options}
    for schedule, options in (("iterative", {"rounds": 2}), ("cubic", {}), ("one_cycle", {}), ("cyclic", {}))
    for distribution in DISTRIBUTIONS
]
GROUPS = [
    {"granularity": granularity, "distribution": distribution}
    for granularity in ("row", "column", "input_channel")
    for distribution in DISTRIBUTIONS
]
LIMITS = [
    {"exclude": ["5"], "sparsity_of": {"3": 0.85}},
    {"exclude": ["5"], "sparsity_of": {"3": 0.85}, "schedule": "cubic", "epochs": 2},
]


USUAL = [ONE_SHOT[0], TRAINED[0], TRAINED[-1], SCHEDULES[4], SCHEDULES[-2], GROUPS[0], GROUPS[5], *LIMITS]
"""One of each kind, for ``make test``."""


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(given, marks=() if given in USUAL else pytest.mark.exhaustive)
        for given in (*ONE_SHOT, *TRAINED, *SCHEDULES, *GROUPS, *LIMITS)
    ],
    ids=lambda given: "-".join(str(value) for value in given.values() if isinstance(value, str)),
)
def test_zeros_stay_in_every_training_and_the_total_is_exact(given: dict[str, Any]) -> None:
    spec = PruneSpec(keep_zeros=True, **given)
    check(spec)
    model = sparse()
    held = zeros(model)
    trainer = trainer_for(model, spec.epochs)

    pruned = drain(PRUNERS[spec.method].prune(trainer, TARGET, spec))[1]

    assert count(pruned.masks) == live_total(WEIGHTS, TARGET)
    assert sum(int(pruned.model.get_parameter(name).count_nonzero()) for name in held) == count(pruned.masks)
    used = [pruned.masks, *(record.masks for record in (*trainer.trainings, *trainer.updates))]
    assert not any(bool((masks[name] & places).any()) for masks in used for name, places in held.items())
    after = [record.after for record in trainer.trainings]
    assert not any(bool(state[name][places].any()) for state in after for name, places in held.items())


def test_an_excluded_layer_keeps_its_weights_and_its_zeros() -> None:
    model = sparse()
    held = zeros(model)

    pruned = drain(PRUNERS["magnitude"].prune(trainer_for(model, 0), TARGET, PruneSpec(keep_zeros=True, **LIMITS[0])))[
        1
    ]

    assert torch.equal(pruned.masks["5.weight"], ~held["5.weight"])
    assert int(pruned.masks["3.weight"].sum()) == 77  # 512 - round(0.85 * 512)


def test_the_sparsity_of_the_start_can_be_the_target() -> None:
    model = sparse()
    held = zeros(model)
    sparsity = sum(int(places.sum()) for places in held.values()) / WEIGHTS

    check(PruneSpec(keep_zeros=True), sparsity)
    pruned = drain(PRUNERS["magnitude"].prune(trainer_for(model, 0), sparsity, PruneSpec(keep_zeros=True)))[1]

    assert all(torch.equal(pruned.masks[name], ~places) for name, places in held.items())


def test_schedules_begin_at_the_density_of_the_start() -> None:
    beyond = sparsity_beyond(0.9, 1000, 600)

    assert beyond == 0.75  # 100 of 400
    assert 400 * (1 - iterative(0.0, beyond, IterativeOptions(rounds=2))) == 200
    # At its peak, cyclic brings weights back up to three times the final number, and no zero of the start.
    assert 400 * (1 - cyclic(0.5, beyond, CyclicOptions(cycles=1, end=1))) == pytest.approx(300)


def test_layers_with_too_few_weights_keep_all_of_them_and_the_others_lose_more() -> None:
    shapes = {"a": torch.Size([10, 10]), "b": torch.Size([10, 10]), "c": torch.Size([10, 10])}

    counts = capped_counts(DISTRIBUTIONS["uniform"], shapes, 90, {"a": 10, "b": 100, "c": 35})

    assert counts == {"a": 10, "b": 45, "c": 35}


@pytest.mark.parametrize(
    ("given", "sparsity", "error", "words"),
    [
        (
            {},
            0.3,
            SparsityError,
            r"leaves 816 of 2,720 weights at zero, but 1,0\d\d are zero at the start.*at least 0\.\d",
        ),
        (
            {"sparsity_of": {"3": 0.5}},
            TARGET,
            SparsityError,
            r"gives '3' 256 zeros, and 3\d\d of its 512.*at least 0\.\d",
        ),
        ({"method": "set", "epochs": 2}, TARGET, SpecError, "'set' starts from new random weights"),
        ({"method": "rigl", "epochs": 2}, TARGET, SpecError, "'rigl' starts from new random weights"),
        ({"method": "east", "epochs": 2}, TARGET, SpecError, "'east' starts from new random weights"),
        ({"granularity": "filter"}, TARGET, SpecError, "filters and neurons are removed as a whole"),
        ({"method": "joint_input", "epochs": 2}, TARGET, SpecError, "filters and neurons are removed as a whole"),
        ({"granularity": "1:4"}, 0.75, SpecError, "a block can have fewer that are not zero"),
    ],
)
def test_what_cannot_hold_the_zeros_is_refused_with_the_reason(
    given: dict[str, Any], sparsity: float, error: type[SafsError], words: str
) -> None:
    with pytest.raises(error, match=words):
        check(PruneSpec(keep_zeros=True, **given), sparsity)


def test_a_layer_without_any_weight_is_refused() -> None:
    model = sparse()
    torch.nn.init.zeros_(model.get_parameter("3.weight"))

    with pytest.raises(SparsityError, match=r"all 512 weights of '3' are zero at the start.*every layer keeps"):
        check(PruneSpec(keep_zeros=True), TARGET, model)
