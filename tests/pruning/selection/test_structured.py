"""Structured pruning: whole groups, and the single weights that make the total exact; worked by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from safs.errors import SparsityError
from safs.pruning.axes.granularity import GRANULARITIES
from safs.pruning.selection.choose_masks import check_choice, choose_masks

COLUMN_MEANS_1_TO_4 = torch.tensor([[1.0, 2.5, 3.0, 4.0], [1.0, 1.5, 3.0, 4.0]])
CLASSES = torch.tensor([[9.0, 8.0], [7.0, 6.0]])


def test_columns_of_the_lowest_means_are_pruned_and_the_next_one_loses_its_lowest_weight():
    masks = choose_masks({"only": COLUMN_MEANS_1_TO_4}, 5, distribution="global", granularity="column")

    # 3 of 8 are pruned: column 0 whole, then the 1.5 of column 1 (mean 2).
    assert masks["only"].int().tolist() == [[0, 1, 1, 1], [0, 0, 1, 1]]


def test_means_are_compared_over_all_layers():
    scores = {"a": torch.tensor([[1.0, 5.0], [3.0, 5.0]]), "b": torch.tensor([[4.0, 3.0, 9.0]]), "c": torch.ones(1, 1)}

    masks = choose_masks(scores, 5, distribution="global", granularity="column")

    # Means: a 2, 5; b 4, 3, 9; c 1, which is its layer's best. 3 of 8 are pruned: a's first column, then b's second.
    assert masks["a"].int().tolist() == [[0, 1], [0, 1]]
    assert masks["b"].int().tolist() == [[1, 0, 1]]
    assert masks["c"].int().tolist() == [[1]]


def test_the_best_group_of_every_layer_stays_whole():
    scores = {"small": torch.tensor([[0.1, 0.3], [0.1, 0.2]]), "large": torch.full((2, 3), 9.0)}

    masks = choose_masks(scores, 4, distribution="global", granularity="column")

    assert masks["small"].int().tolist() == [[0, 1], [0, 1]]
    assert masks["large"].int().tolist() == [[1, 0, 0], [1, 0, 0]]  # of equal ones the first is kept as the best


def test_an_input_channel_is_pruned_in_every_filter():
    score = torch.tensor([3.0, 1.0, 2.0]).view(1, 3, 1, 1).repeat(2, 1, 2, 2)

    masks = choose_masks({"conv": score}, 16, distribution="uniform", granularity="input_channel")

    assert masks["conv"].all(dim=(0, 2, 3)).tolist() == [True, False, True]
    assert masks["conv"].any(dim=(0, 2, 3)).tolist() == [True, False, True]


@pytest.mark.parametrize("granularity", ["row", "filter"])
def test_one_threshold_prunes_rows_of_hidden_layers_and_no_classes(granularity):
    scores = {"hidden": torch.tensor([[10.0, 20.0], [30.0, 30.0], [11.0, 20.0]]), "classes": CLASSES}

    masks = choose_masks(scores, 7, distribution="global", granularity=granularity)

    assert masks["hidden"].int().tolist() == [[0, 0], [1, 1], [0, 1]]
    assert masks["classes"].all()


def test_the_classes_lose_single_weights_once_the_hidden_layers_have_no_more():
    scores = {"hidden": torch.tensor([[10.0, 20.0], [30.0, 30.0]]), "classes": CLASSES}

    masks = choose_masks(scores, 4, distribution="global", granularity="row")

    # One row of hidden is left; of the classes' weights the two lowest would be the second class's, which keeps its 7.
    assert masks["hidden"].int().tolist() == [[0, 0], [1, 1]]
    assert masks["classes"].int().tolist() == [[1, 0], [1, 0]]


def test_uniform_takes_its_share_of_the_classes_by_single_weights():
    scores = {"hidden": torch.tensor([[10.0, 20.0], [30.0, 30.0]]), "classes": CLASSES}

    masks = choose_masks(scores, 4, distribution="uniform", granularity="row")

    assert masks["hidden"].int().tolist() == [[0, 0], [1, 1]]
    assert masks["classes"].int().tolist() == [[1, 0], [1, 0]]


def test_columns_of_the_last_layer_are_pruned_like_any_other():
    scores = {"hidden": torch.full((2, 2), 10.0), "classes": CLASSES}

    masks = choose_masks(scores, 6, distribution="global", granularity="column")

    assert masks["classes"].int().tolist() == [[1, 0], [1, 0]]


def test_lamp_compares_means_relative_to_their_layer():
    scores = {"small": torch.tensor([[0.1, 0.2, 0.3]]), "large": torch.tensor([[10.0, 1.0, 1.1]])}

    masks = choose_masks(scores, 4, distribution="lamp", granularity="column")

    assert masks["small"].all()
    assert masks["large"].int().tolist() == [[1, 0, 0]]


@pytest.mark.parametrize("granularity", ["row", "column", "input_channel", "filter"])
@settings(max_examples=25, deadline=None)
@given(live_share=st.floats(0.3, 1), seed=st.integers(0, 20))
def test_at_most_one_group_is_partly_pruned_and_no_pruned_group_scores_above_a_kept_one(granularity, live_share, seed):
    generator = torch.Generator().manual_seed(seed)
    shapes = {"conv": (8, 4, 3, 3), "fc1": (12, 72), "fc2": (10, 12)}
    scores = {name: torch.rand(shape, generator=generator) for name, shape in shapes.items()}
    live = round(live_share * sum(score.numel() for score in scores.values()))

    masks = choose_masks(scores, live, distribution="global", granularity=granularity)

    cut, gone, stayed = 0, [], []
    for name, mask in masks.items():
        if name == "fc2" and granularity in ("row", "filter"):
            continue  # the classes
        kept = GRANULARITIES[granularity].grouped(mask)
        means = GRANULARITIES[granularity].grouped(scores[name]).mean(1)
        cut += int((kept.any(1) & ~kept.all(1)).sum())
        gone += means[~kept.any(1)].tolist()
        stayed += [mean for mean in means[kept.all(1)].tolist() if mean < means.max()]
        assert kept.all(1).any()
    assert cut <= 1
    assert max(gone, default=0.0) <= min(stayed, default=1.0)


def test_a_layer_that_would_keep_less_than_a_group_is_named_with_the_ways_out():
    shapes = {"stem": torch.Size([4, 1, 3, 3]), "body": torch.Size([20, 36]), "head": torch.Size([10, 20])}

    with pytest.raises(SparsityError, match=r"layer 'stem'.* 18 of its 36.*must keep 36.*'global', the.*'weight', or"):
        check_choice(shapes, 0.5, distribution="uniform", granularity="input_channel")

    check_choice(shapes, 0.5, distribution="global", granularity="input_channel")


def test_too_few_weights_for_a_group_in_every_layer_name_the_largest_sparsity():
    shapes = {"hidden": torch.Size([5, 100]), "classes": torch.Size([5, 100])}

    # One row of 100, and one weight for each of five classes: 105 of 1000.
    with pytest.raises(
        SparsityError, match=r"leaves 100 of 1000.* need 105 .*'weight', or.*at most 0\.895\."
    ) as caught:
        check_choice(shapes, 0.9, distribution="global", granularity="row")

    assert caught.value.field == "sparsity"
    check_choice(shapes, 0.895, distribution="global", granularity="row")
