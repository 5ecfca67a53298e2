"""How sparsity is spread over layers."""

from math import prod

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from safs.errors import SparsityError, SpecError, UnknownNameError
from safs.pruning.distributions import DISTRIBUTIONS, check_sparsity, live_counts
from safs.spec import PruneSpec

LENET5 = {
    "conv1.weight": torch.Size([6, 1, 5, 5]),
    "conv2.weight": torch.Size([16, 6, 5, 5]),
    "fc1.weight": torch.Size([120, 400]),
    "fc2.weight": torch.Size([84, 120]),
    "fc3.weight": torch.Size([10, 84]),
}
BY_SHAPE = [name for name, entry in DISTRIBUTIONS.items() if entry.live_counts is not None]

networks = st.lists(
    st.one_of(
        st.tuples(st.integers(1, 40), st.integers(1, 40)),
        st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(1, 5), st.integers(1, 5)),
    ),
    min_size=1,
    max_size=8,
).map(lambda shapes: {f"layers.{number}.weight": torch.Size(shape) for number, shape in enumerate(shapes)})


@pytest.mark.parametrize("distribution", BY_SHAPE)
@given(shapes=networks, sparsity=st.floats(0, 0.999))
def test_counts_add_up_to_the_single_weight_and_no_layer_is_emptied(distribution, shapes, sparsity):
    total = sum(prod(shape) for shape in shapes.values())
    try:
        counts = live_counts(shapes, sparsity, distribution)
    except SparsityError:
        smallest = min(prod(shape) for shape in shapes.values())
        too_few = total - round(sparsity * total) < len(shapes)
        assert too_few or (distribution == "uniform" and round(sparsity * smallest) == smallest)
        return

    assert sum(counts.values()) == total - round(sparsity * total)
    assert all(1 <= counts[name] <= prod(shape) for name, shape in shapes.items())


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_every_distribution_says_what_it_does(distribution):
    assert DISTRIBUTIONS[distribution].summary


@pytest.mark.parametrize("distribution", BY_SHAPE)
def test_sparsity_zero_keeps_every_weight(distribution):
    assert live_counts(LENET5, 0.0, distribution) == {name: prod(shape) for name, shape in LENET5.items()}


def test_uniform_leaves_lenet5s_first_layer_two_weights_of_150_at_99_percent():
    counts = live_counts(LENET5, 0.99, "uniform")

    # 150 - round(148.5) with half to even; 24; 480; 10080 - round(9979.2); 840 - round(831.6).
    # Together 615 = 61470 - round(60855.3), so nothing is corrected.
    assert list(counts.values()) == [2, 24, 480, 101, 8]


def test_uniform_corrects_rounding_in_the_largest_layer():
    shapes = {"small": torch.Size([3]), "large": torch.Size([5, 3]), "middle": torch.Size([7])}

    counts = live_counts(shapes, 0.5, "uniform")

    # Rounded alone 3 - 2, 15 - 8 and 7 - 4, together 11; 25 - round(12.5) is 13, so two layers take one more each.
    assert counts == {"small": 1, "large": 8, "middle": 4}


def test_erk_density_is_proportional_to_sum_over_product_of_dimensions():
    shapes = {"a": torch.Size([100, 300]), "b": torch.Size([200, 200])}

    counts = live_counts(shapes, 0.9, "erk")

    # Both have dimensions that add up to 400, so both keep 7000 / 2.
    assert counts == {"a": 3500, "b": 3500}


def test_erk_solves_the_factor_again_when_a_layer_would_be_more_than_dense():
    shapes = {"tiny": torch.Size([2, 2]), "a": torch.Size([100, 100]), "b": torch.Size([100, 300])}

    counts = live_counts(shapes, 0.5, "erk")

    # tiny is dense with 4; 20002 - 4 are split 200 : 400, and a's 6666 is below its 10000.
    assert counts == {"tiny": 4, "a": 6666, "b": 13332}


def test_uniform_that_empties_a_layer_names_it_and_the_largest_sparsity_that_works():
    shapes = {"head.weight": torch.Size([10, 5]), "body.weight": torch.Size([100, 100])}

    with pytest.raises(SparsityError, match=r"layer 'head.weight'.*'global' or 'erk'.*at most 0.989999") as caught:
        check_sparsity(shapes, 0.99, PruneSpec(distribution="uniform"))

    assert caught.value.field == "sparsity"
    check_sparsity(shapes, 0.989999, PruneSpec(distribution="uniform"))
    check_sparsity(shapes, 0.99, PruneSpec(distribution="global"))
    check_sparsity(shapes, 0.99, PruneSpec(distribution="erk"))


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_fewer_weights_than_layers_are_refused_with_the_largest_sparsity_that_works(distribution):
    shapes = {f"{number}.weight": torch.Size([10, 10]) for number in range(4)}

    with pytest.raises(SparsityError, match=r"leaves 2 of 400 weights to 4 layers.*at most 0.99"):
        check_sparsity(shapes, 0.995, PruneSpec(distribution=distribution))

    check_sparsity(shapes, 0.99, PruneSpec(distribution=distribution))


def test_a_network_without_prunable_layers_is_refused():
    with pytest.raises(SparsityError, match="nothing to prune"):
        check_sparsity({}, 0.5, PruneSpec())


def test_unknown_distribution_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match="Known: global, erk, uniform"):
        check_sparsity(LENET5, 0.5, PruneSpec(distribution="gaussian"))


def test_counts_of_global_are_not_told_from_shapes():
    with pytest.raises(SpecError, match="depends on the weights"):
        live_counts(LENET5, 0.5, "global")
