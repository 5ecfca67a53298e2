"""The choice of units: small networks worked by hand, and totals exact to the single weight."""

from math import prod

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from safs.errors import SparsityError, SpecError, UnknownNameError
from safs.pruning.masks import prunable_parameters
from safs.pruning.removal.choose_units import check_removal, choose_units
from safs.pruning.removal.coupling import find_groups
from safs.pruning.removal.ranking import removal_order, unit_scores
from safs.pruning.removal.units import Slot, UnitGroup

DISTRIBUTIONS = ["global", "erk", "lamp", "uniform"]


def each(units: int) -> tuple[tuple[int, ...], ...]:
    return tuple((unit,) for unit in range(units))


def dense_group(name: str, reader: str, units: int) -> UnitGroup:
    return UnitGroup(
        name, units, (Slot(f"{name}.weight", 0, each(units)),), (Slot(f"{reader}.weight", 1, each(units)),)
    )


def magnitudes(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().abs() for name, parameter in prunable_parameters(model).items()}


# Two inputs, three hidden units, two outputs: 6 + 6 weights. A hidden unit has 2 weights in and 2 out.
GROUPS = (dense_group("a", "b", 3),)
SCORES = {
    "a.weight": torch.tensor([[1.0, 1.0], [5.0, 3.0], [2.0, 4.0]]),  # means 1, 4, 3
    "b.weight": torch.tensor([[9.0, 0.1, 0.2], [9.0, 0.3, 0.4]]),
}


def test_the_unit_of_the_lowest_mean_score_is_removed_with_its_row_and_column():
    removal = choose_units(GROUPS, SCORES, sparsity=4 / 12)

    assert removal.units == {"a": (0,)}
    assert removal.masks["a.weight"].tolist() == [[False, False], [True, True], [True, True]]
    assert removal.masks["b.weight"].tolist() == [[False, True, True], [False, True, True]]


def test_the_rest_are_the_smallest_single_weights():
    removal = choose_units(GROUPS, SCORES, sparsity=6 / 12)

    # Units 1 and 2 keep the largest weight that reads them (0.3, 0.4); each row keeps its largest (0.2 and 0.4 in b,
    # 5 and 4 in a). Of the others, 0.1 is removed first, then 2.0.
    assert removal.units == {"a": (0,)}
    assert removal.masks["a.weight"].tolist() == [[False, False], [True, True], [False, True]]
    assert removal.masks["b.weight"].tolist() == [[False, False, True], [False, True, True]]


def test_a_row_can_lose_its_largest_weight_if_nothing_else_is_left_but_a_layer_cannot():
    groups = (dense_group("a", "b", 2),)
    scores = {"a.weight": torch.tensor([[1.0], [2.0]]), "b.weight": torch.tensor([[3.0, 4.0]])}

    removal = choose_units(groups, scores, sparsity=1 / 4)  # a unit has 2 weights, so none is removed whole

    assert removal.units == {"a": ()}
    assert removal.masks["a.weight"].tolist() == [[False], [True]]
    assert removal.masks["b.weight"].all()


def test_a_weight_between_two_removed_units_counts_once():
    groups = (dense_group("a", "b", 2), dense_group("b", "c", 2))
    scores = {
        "a.weight": torch.tensor([[1.0], [9.0]]),
        "b.weight": torch.tensor([[1.0, 1.0], [9.0, 9.0]]),
        "c.weight": torch.tensor([[1.0, 9.0]]),
    }

    removal = choose_units(groups, scores, sparsity=5 / 8)  # 1 + 3 + 1: three of b's four weights

    assert removal.units == {"a": (0,), "b": (0,)}
    assert sum(int(mask.sum()) for mask in removal.masks.values()) == 3


def test_a_unit_of_several_layers_scores_the_mean_of_its_means():
    group = UnitGroup("a", 2, (Slot("a.weight", 0, ((0, 1), (2, 3))), Slot("d.weight", 0, each(2))), ())
    scores = {
        "a.weight": torch.tensor([[1.0], [3.0], [5.0], [5.0]]),
        "d.weight": torch.tensor([[4.0, 4.0], [1.0, 0.0]]),
    }

    assert unit_scores(group, scores).tolist() == [(2 + 4) / 2, (5 + 0.5) / 2]


def test_global_compares_units_relative_to_their_groups_mean():
    large, small = torch.tensor([100.0, 300.0]), torch.tensor([0.01, 0.02, 0.03])

    assert removal_order("global", dense_group("a", "b", 2), large, {}).tolist() == [0.5, 1.5]
    torch.testing.assert_close(
        removal_order("global", dense_group("a", "b", 3), small, {}), torch.tensor([0.5, 1.0, 1.5])
    )


def test_uniform_removes_the_same_share_of_every_group():
    groups = (dense_group("a", "b", 4), dense_group("b", "c", 8))
    torch.manual_seed(0)
    scores = {"a.weight": torch.rand(4, 6), "b.weight": 100 * torch.rand(8, 4), "c.weight": torch.rand(5, 8)}
    # Half of both groups leaves 2 x 6 + 4 x 2 + 5 x 4 = 40 of 24 + 32 + 40 = 96 weights.
    removal = choose_units(groups, scores, sparsity=56 / 96, distribution="uniform")

    assert [len(units) for units in removal.units.values()] == [2, 4]
    assert removal.units["a"] == tuple(sorted(scores["a.weight"].mean(1).argsort()[:2].tolist()))


def test_erk_keeps_more_of_a_group_of_small_layers():
    small, large = dense_group("a", "b", 4), dense_group("b", "c", 4)
    shapes = {"a.weight": torch.Size((4, 4)), "b.weight": torch.Size((40, 40))}
    scores = torch.tensor([1.0, 4.0, 2.0, 3.0], dtype=torch.float64)

    # Densities (4 + 4) / 16 = 1/2 and (40 + 40) / 1600 = 1/20; the k-th from the top of 4 goes at k / 4 over that.
    assert removal_order("erk", small, scores, shapes).tolist() == pytest.approx([-2.0, -0.5, -1.5, -1.0])
    assert removal_order("erk", large, scores, shapes).tolist() == pytest.approx([-20.0, -5.0, -15.0, -10.0])


def test_lamp_compares_a_unit_with_those_that_are_not_smaller():
    keys = removal_order("lamp", dense_group("a", "b", 3), torch.tensor([2.0, 1.0, 3.0], dtype=torch.float64), {})

    assert keys.tolist() == pytest.approx([4 / 13, 1 / 14, 1.0])


def test_scores_of_the_callers_choice_decide():
    scores = {"a.weight": torch.tensor([[1.0, 1.0], [5.0, 3.0], [0.0, 0.5]]), "b.weight": SCORES["b.weight"]}

    assert choose_units(GROUPS, scores, sparsity=4 / 12).units == {"a": (2,)}


def test_the_first_of_equal_units_are_removed():
    scores = {name: torch.ones_like(score) for name, score in SCORES.items()}

    assert choose_units(GROUPS, scores, sparsity=8 / 12).units == {"a": (0, 1)}


def test_a_sparsity_that_leaves_fewer_weights_than_one_unit_a_group_is_refused():
    shapes = {name: score.shape for name, score in SCORES.items()}
    assert choose_units(GROUPS, SCORES, sparsity=8 / 12).units == {"a": (0, 2)}

    for refuse in (lambda: choose_units(GROUPS, SCORES, 0.8), lambda: check_removal(GROUPS, shapes, 0.75)):
        with pytest.raises(SparsityError, match=r"has 4\. Choose a sparsity of at most 0\.7") as caught:
            refuse()
        assert caught.value.field == "sparsity"


def test_an_unknown_distribution_and_a_diverged_network_are_refused():
    with pytest.raises(UnknownNameError, match="global"):
        choose_units(GROUPS, SCORES, 0.5, "local")
    with pytest.raises(SpecError, match=r"'b\.weight' is not finite"):
        choose_units(GROUPS, {**SCORES, "b.weight": torch.full((2, 3), torch.nan)}, 0.5)


def small_network(width: int) -> nn.Module:
    """A convolution, a depthwise one, one across a residual addition, a flattening and two linear layers."""

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(width, width, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.relu(self.conv(x))

    return nn.Sequential(
        nn.Conv2d(1, width, 3),
        nn.BatchNorm2d(width),
        nn.Conv2d(width, width, 3, padding=1, groups=width),
        Residual(),
        nn.Flatten(),
        nn.Linear(width * 16, 7),
        nn.ReLU(),
        nn.Linear(7, 3),
    )


NETWORKS = {width: small_network(width) for width in (2, 3, 6)}
FOUND = {width: find_groups(network, torch.zeros(1, 1, 6, 6)) for width, network in NETWORKS.items()}


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@settings(max_examples=40, deadline=None)
@given(width=st.sampled_from(list(NETWORKS)), seed=st.integers(0, 10_000), sparsity=st.floats(0, 1))
def test_exactly_as_many_weights_are_kept_as_the_sparsity_says(distribution, width, seed, sparsity):
    model, groups = NETWORKS[width], FOUND[width]
    generator = torch.Generator().manual_seed(seed)
    scores = {n: torch.rand(p.shape, generator=generator).square() for n, p in prunable_parameters(model).items()}
    total = sum(score.numel() for score in scores.values())
    # One unit a group: 9 + 9 (depthwise) + 9 + 16 + 3 weights.
    assume(total - round(sparsity * total) >= 46)

    removal = choose_units(groups, scores, sparsity, distribution)

    assert sum(int(mask.sum()) for mask in removal.masks.values()) == total - round(sparsity * total)
    assert all(bool(mask.any()) for mask in removal.masks.values())
    assert removal.masks.keys() == scores.keys()
    for group in groups:
        assert len(removal.units[group.name]) < group.units
        for slot in (slot for slot in (*group.producers, *group.consumers) if slot.name in scores):
            for unit in removal.units[group.name]:
                assert not removal.masks[slot.name].movedim(slot.dim, 0)[list(slot.positions[unit])].any()


@pytest.mark.parametrize("sparsity", [0.5, 0.8])
def test_every_kept_unit_has_inputs_and_readers(sparsity):
    torch.manual_seed(0)
    groups, scores = FOUND[6], magnitudes(small_network(6))

    removal = choose_units(groups, scores, sparsity)

    for group in groups:
        for unit in set(range(group.units)) - set(removal.units[group.name]):
            for slot in (slot for slot in group.producers if slot.name in scores):
                assert removal.masks[slot.name].movedim(slot.dim, 0)[list(slot.positions[unit])].any()
            assert any(
                removal.masks[slot.name].movedim(slot.dim, 0)[list(slot.positions[unit])].any()
                for slot in group.consumers
            )


def test_fewer_single_weights_are_removed_than_a_unit_has():
    torch.manual_seed(0)
    groups, scores = FOUND[6], magnitudes(small_network(6))

    removal = choose_units(groups, scores, 0.6)

    total = sum(map(prod, (score.shape for score in scores.values())))
    whole = {name: torch.ones_like(mask) for name, mask in removal.masks.items()}
    for group in groups:
        for slot in (*group.producers, *group.consumers):
            for unit in removal.units[group.name]:
                if slot.name in whole:
                    whole[slot.name].movedim(slot.dim, 0)[list(slot.positions[unit])] = False
    single = sum(int((whole[name] & ~mask).sum()) for name, mask in removal.masks.items())
    assert sum(int(mask.sum()) for mask in whole.values()) - single == total - round(0.6 * total)
    assert 0 < single < 6 * 9 * 2 + 9 + 9 + 16 * 7  # the widest unit, one of the residual stream, with all its weights
