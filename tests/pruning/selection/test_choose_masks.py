"""Masks from scores: the contract of all combinations of distribution and granularity, and single weights."""

import re
from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import prune as torch_prune

from safs.errors import SafsError, SparsityError, SpecError, UnknownNameError
from safs.pruning.axes.distributions import DISTRIBUTIONS
from safs.pruning.axes.granularity import GRANULARITIES
from safs.pruning.selection.choose_masks import check_choice, choose_masks

GROUPED = [name for name in GRANULARITIES if name != "weight"]
PATTERNS = ["1:2", "2:4", "3:5", "1:16"]
networks = st.lists(
    st.one_of(
        st.tuples(st.integers(1, 12), st.integers(1, 12)),
        st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(1, 3), st.integers(1, 3)),
    ),
    min_size=1,
    max_size=5,
)


def random_scores(shapes: list[tuple[int, ...]], *, values: int = 1000, seed: int = 0) -> dict[str, Tensor]:
    """Returns whole scores from 0 to below ``values``; few values give many ties."""
    generator = torch.Generator().manual_seed(seed)
    return {
        f"{number}.weight": torch.randint(values, shape, generator=generator).float()
        for number, shape in enumerate(shapes)
    }


def live_weights(masks: dict[str, Tensor]) -> int:
    return sum(int(mask.sum()) for mask in masks.values())


def round_half_even_live(total: int, sparsity: float) -> int:
    return total - round(sparsity * total)


@pytest.mark.parametrize("granularity", [*GRANULARITIES, *PATTERNS])
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@settings(max_examples=20, deadline=None)
@given(shapes=networks, sparsity=st.floats(0, 0.99), values=st.sampled_from([1, 2, 1000]))
def test_every_choice_is_exact_or_is_refused_with_a_sparsity_that_works(
    distribution, granularity, shapes, sparsity, values
):
    axes = {"distribution": distribution, "granularity": granularity}
    scores = random_scores(shapes, values=values)
    sizes, total = {name: score.shape for name, score in scores.items()}, sum(map(prod, shapes))
    live = round_half_even_live(total, sparsity)
    try:
        check_choice(sizes, sparsity, **axes)
    except SafsError as refused:
        with pytest.raises(type(refused)):
            choose_masks(scores, live, **axes)
        if not isinstance(refused, SparsityError):
            return
        live = round_half_even_live(
            total, float(re.search(r"(?:at most|sparsity) (\d\S*?)(?:, or|\.$)", str(refused))[1])
        )

    masks = choose_masks(scores, live, **axes)

    assert live_weights(masks) == live
    assert all(mask.dtype == torch.bool and mask.shape == sizes[name] and mask.any() for name, mask in masks.items())
    again = choose_masks({name: score.clone() for name, score in scores.items()}, live, **axes)
    assert all(torch.equal(mask, again[name]) for name, mask in masks.items())


@pytest.mark.parametrize("distribution", ["uniform", "erk"])
def test_the_counts_of_layers_follow_from_the_distribution_at_every_granularity(distribution):
    scores = random_scores([(20, 30), (10, 20, 3, 3), (10, 90)])
    total = sum(score.numel() for score in scores.values())
    by_weight = choose_masks(scores, total // 2, distribution=distribution, granularity="weight")

    for granularity in GROUPED:
        masks = choose_masks(scores, total // 2, distribution=distribution, granularity=granularity)
        assert {n: int(m.sum()) for n, m in masks.items()} == {n: int(m.sum()) for n, m in by_weight.items()}


def test_lamp_keeps_a_layer_of_small_weights_that_global_would_empty():
    scores = {"small": torch.tensor([0.01, 0.02, 0.03]), "large": torch.tensor([10.0, 1.0, 1.1])}

    masks = choose_masks(scores, 4, distribution="lamp", granularity="weight")

    # small: 1/14, 4/13, 1. large: 1, 1/102.21 and 1.21/101.21. A global threshold leaves small its largest alone.
    assert masks["small"].tolist() == [True, True, True]
    assert masks["large"].tolist() == [True, False, False]
    assert choose_masks(scores, 4, distribution="global", granularity="weight")["small"].tolist() == [
        False,
        False,
        True,
    ]


@settings(max_examples=50, deadline=None)
@given(shapes=networks, data=st.data())
def test_lamp_keeps_what_its_formula_ranks_highest(shapes, data):
    generator = torch.Generator().manual_seed(1)
    scores = {str(number): torch.rand(shape, generator=generator) for number, shape in enumerate(shapes)}
    total = sum(map(prod, shapes))
    live = data.draw(st.integers(len(shapes), total))
    lamp = {
        name: [w**2 / sum(v**2 for v in values if v >= w) for w in values]
        for name, score in scores.items()
        for values in [score.flatten().double().tolist()]
    }

    masks = choose_masks(scores, live, distribution="lamp", granularity="weight")

    ranked = sorted((value for values in lamp.values() for value in values), reverse=True)
    clear = live == total or ranked[live - 1] > ranked[live] * (1 + 1e-9)
    for name, mask in masks.items() if clear else ():
        assert mask.flatten().tolist() == [value >= ranked[live - 1] for value in lamp[name]]


def test_uniform_keeps_the_weights_that_torchs_l1_unstructured_keeps():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(40, 30))  # 216 and 1200 weights: 0.75 leaves no rounding

    masks = choose_masks(magnitudes(model), 354, distribution="uniform", granularity="weight")

    for name, mask in masks.items():
        layer = model.get_submodule(name.removesuffix(".weight"))
        torch_prune.l1_unstructured(layer, "weight", amount=0.75)
        assert torch.equal(mask, layer.weight_mask.bool())


def test_global_keeps_the_weights_that_torchs_global_pruning_keeps():
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(40, 30))

    masks = choose_masks(magnitudes(model), 142, distribution="global", granularity="weight")

    torch_prune.global_unstructured(
        [(model[0], "weight"), (model[1], "weight")], pruning_method=torch_prune.L1Unstructured, amount=1416 - 142
    )
    assert torch.equal(masks["0.weight"], model[0].weight_mask.bool())
    assert torch.equal(masks["1.weight"], model[1].weight_mask.bool())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_scores_that_are_not_finite_are_refused_by_name(value):
    scores = random_scores([(3, 3), (3, 3)])
    scores["1.weight"][2, 1] = value

    with pytest.raises(SpecError, match=r"score of '1.weight' is not finite") as caught:
        choose_masks(scores, 9, distribution="global", granularity="weight")

    assert caught.value.field == "prune.score"


def test_unknown_names_are_refused():
    scores = random_scores([(3, 3)])

    with pytest.raises(UnknownNameError, match="unknown distribution 'gauss'"):
        choose_masks(scores, 5, distribution="gauss", granularity="weight")
    with pytest.raises(UnknownNameError, match="unknown granularity 'kernel'"):
        choose_masks(scores, 5, distribution="global", granularity="kernel")


@pytest.mark.parametrize("granularity", ["weight", "row", "column", "2:4"])
@pytest.mark.parametrize("distribution", ["global", "uniform"])
def test_scores_are_not_changed(distribution, granularity):
    scores = random_scores([(6, 8), (4, 6), (2, 4)])
    before = {name: score.clone() for name, score in scores.items()}

    choose_masks(scores, 40, distribution=distribution, granularity=granularity)

    assert all(torch.equal(score, before[name]) for name, score in scores.items())


def magnitudes(model: nn.Module) -> dict[str, Tensor]:
    return {name: weight.detach().abs() for name, weight in model.named_parameters() if name.endswith("weight")}
