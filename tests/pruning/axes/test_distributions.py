"""Distributions: the number of weights that each layer keeps."""

from math import prod

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from safs.errors import SparsityError, SpecError, UnknownNameError
from safs.pruning.axes.distributions import (
    DISTRIBUTIONS,
    largest_sparsity,
    live_counts,
    live_total,
    sparsity_that_leaves,
)
from safs.pruning.selection.choose_masks import check_choice

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
        too_small = (total - round(sparsity * total)) * smallest / total < 1  # its share is below one weight
        assert too_few or (distribution == "uniform" and too_small)
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

    # 615 of 61,470 are kept: shares 1.501, 24.01, 480.23, 100.85 and 8.40; rounded down they leave 2.
    assert list(counts.values()) == [2, 24, 480, 101, 8]


def test_uniform_rounds_up_for_the_largest_remainders():
    shapes = {"small": torch.Size([3]), "large": torch.Size([5, 3]), "middle": torch.Size([7])}

    counts = live_counts(shapes, 0.5, "uniform")

    # 25 - round(12.5) is 13, so the shares are 1.56, 7.8 and 3.64; rounded down they leave 2.
    assert counts == {"small": 1, "large": 8, "middle": 4}


@given(shapes=networks, sparsity=st.floats(0, 0.999))
def test_uniform_is_never_a_weight_away_from_the_exact_share(shapes, sparsity):
    total = sum(prod(shape) for shape in shapes.values())
    live = total - round(sparsity * total)

    counts = DISTRIBUTIONS["uniform"].live_counts(shapes, live)

    assert all(abs(counts[name] - prod(shape) * live / total) < 1 for name, shape in shapes.items())


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


RESNET34_BLOCKS = [(64, 3), (128, 4), (256, 6), (512, 3)]


def resnet34_shapes() -> dict[str, torch.Size]:
    """Shapes of ResNet-34 for CIFAR-10: 3x3 convolutions, 1x1 shortcuts where the width changes, a classifier."""
    shapes, width = [(64, 3, 3, 3)], 64
    for wider, blocks in RESNET34_BLOCKS:
        for _ in range(blocks):
            shapes += [(wider, width, 3, 3), (wider, wider, 3, 3)]
            shapes += [(wider, width, 1, 1)] if wider != width else []
            width = wider
    return {f"{number}.weight": torch.Size(shape) for number, shape in enumerate([*shapes, (10, 512)])}


@pytest.mark.parametrize(
    ("sparsity", "live"), [(0.99, 212_651), (0.999, 21_265), (0.9995, 10_633), (0.9999, 2_127), (0.999998, 43)]
)
def test_erk_of_resnet34_is_exact_at_extreme_sparsities_and_no_layer_dies(sparsity, live):
    shapes = resnet34_shapes()

    counts = live_counts(shapes, sparsity, "erk")

    assert sum(prod(shape) for shape in shapes.values()) == 21_265_088
    assert sum(counts.values()) == live
    assert all(1 <= counts[name] <= prod(shape) for name, shape in shapes.items())


def test_lamp_is_a_square_over_the_squares_that_are_not_smaller():
    rescaled = DISTRIBUTIONS["lamp"].rescale(torch.tensor([1.0, 2.0, 3.0]))

    assert rescaled.tolist() == pytest.approx([1 / 14, 4 / 13, 1])


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e150, 1e300])
def test_lamp_does_not_depend_on_the_scale_of_a_layer(scale):
    scores = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64) * scale

    assert DISTRIBUTIONS["lamp"].rescale(scores).tolist() == pytest.approx([1 / 14, 4 / 13, 1])


def test_lamp_scores_a_small_weight_above_a_masked_one():
    scores = torch.tensor([0.0, 1e-200, 1.0], dtype=torch.float64)

    masked, small, largest = DISTRIBUTIONS["lamp"].rescale(scores).tolist()

    assert masked == 0 < small < largest == 1
    assert DISTRIBUTIONS["lamp"].rescale(torch.zeros(3)).tolist() == [0, 0, 0]


def test_a_sparsity_has_the_fewest_digits_that_leave_the_weights():
    assert sparsity_that_leaves(615, 61_470) == 0.99
    assert sparsity_that_leaves(1, 3) == 0.7  # round(0.7 * 3) is 2
    assert sparsity_that_leaves(10, 10) == 0


@given(weights=st.integers(1, 50_000_000), data=st.data())
def test_the_returned_sparsity_leaves_that_many_weights(weights, data):
    live = data.draw(st.integers(1, weights))

    assert live_total(weights, sparsity_that_leaves(live, weights)) == live


def test_the_largest_sparsity_is_found_between_what_fails_and_all():
    assert live_total(1000, largest_sparsity(10, 1000, lambda live: live >= 137)) == 137


def test_uniform_that_empties_a_layer_names_it_and_the_largest_sparsity_that_works():
    shapes = {"head.weight": torch.Size([10, 5]), "body.weight": torch.Size([100, 100])}

    # 100 of 10,050 are kept, head's share is 0.4975; of 101 it is 0.5025, the larger remainder.
    with pytest.raises(SparsityError, match=r"layer 'head.weight' 0 of.*'global', or.*at most 0\.98995\.") as caught:
        check(shapes, 0.99, "uniform")

    assert caught.value.field == "sparsity"
    check(shapes, 0.98995, "uniform")
    check(shapes, 0.99, "global")
    check(shapes, 0.99, "erk")


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_fewer_weights_than_layers_are_refused_with_the_largest_sparsity_that_works(distribution):
    shapes = {f"{number}.weight": torch.Size([10, 10]) for number in range(4)}

    with pytest.raises(SparsityError, match=r"leaves 2 of 400 weights to 4 layers.*at most 0\.99\."):
        check(shapes, 0.995, distribution)

    check(shapes, 0.99, distribution)


def test_a_network_without_prunable_layers_is_refused():
    with pytest.raises(SparsityError, match="nothing to prune"):
        check({}, 0.5, "global")


def test_unknown_distribution_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match="Known: global, erk, lamp, uniform"):
        check(LENET5, 0.5, "gaussian")


@pytest.mark.parametrize("distribution", ["global", "lamp"])
def test_counts_that_depend_on_scores_are_refused_for_shapes(distribution):
    with pytest.raises(SpecError, match="depends on scores, not on shapes"):
        live_counts(LENET5, 0.5, distribution)


def check(shapes: dict[str, torch.Size], sparsity: float, distribution: str) -> None:
    """Raises if these layers cannot have this sparsity at the granularity ``weight``."""
    check_choice(shapes, sparsity, distribution=distribution, granularity="weight")
