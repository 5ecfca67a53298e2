"""n:m sparsity: n of every m weights along the input channels; checked by hand and block by block."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from safs.errors import SparsityError, SpecError
from safs.pruning.selection.choose_masks import check_choice, choose_masks


def chosen(scores: dict[str, torch.Tensor], live: int, pattern: str, distribution: str = "global"):
    return choose_masks(scores, live, distribution=distribution, granularity=pattern)


def test_two_of_four_keeps_the_two_largest_of_every_block():
    score = torch.tensor([[1.0, 4.0, 3.0, 2.0, 9.0, 8.0, 7.0, 6.0], [5.0, 5.0, 5.0, 5.0, 1.0, 2.0, 1.0, 2.0]])

    masks = chosen({"layer": score}, 8, "2:4")

    # The first of equal scores are pruned.
    assert masks["layer"].int().tolist() == [[0, 1, 1, 0, 1, 1, 0, 0], [0, 0, 1, 1, 0, 1, 0, 1]]


def test_blocks_run_along_the_input_channels_at_each_position_of_the_kernel():
    """As sparse tensor cores read them: they multiply along the input channels."""
    by_position = torch.tensor([[1.0, 2.0, 3.0, 4.0], [8.0, 7.0, 6.0, 5.0]])
    score = by_position.T.view(1, 4, 1, 2)  # [out, in, height, width]

    masks = chosen({"conv": score}, 4, "2:4")

    assert masks["conv"][0, :, 0, 0].int().tolist() == [0, 0, 1, 1]
    assert masks["conv"][0, :, 0, 1].int().tolist() == [1, 1, 0, 0]


def test_the_mask_of_a_convolution_is_two_of_four_in_the_matrix_that_a_gpu_multiplies():
    score = torch.rand(8, 16, 3, 3, generator=torch.Generator().manual_seed(0))

    mask = chosen({"conv": score}, 576, "2:4")["conv"]

    matrix = mask.permute(0, 2, 3, 1).reshape(8 * 9, 16)  # channels last, as NVIDIA's ASP lays it out
    assert matrix.view(-1, 4).sum(1).unique().tolist() == [2]
    assert mask.is_contiguous()


def test_a_convolution_of_grey_images_has_only_short_blocks():
    masks = chosen({"conv": torch.arange(1.0, 10.0).view(1, 1, 3, 3), "fc": torch.rand(2, 4)}, 9, "2:4")

    assert masks["conv"].flatten().int().tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 1]
    assert masks["fc"].sum(1).tolist() == [2, 2]


def test_grouped_convolutions_have_blocks_within_their_groups():
    score = torch.tensor([4.0, 3.0, 2.0, 1.0, 1.0, 2.0, 3.0, 4.0]).view(2, 4, 1, 1)  # 8 channels in 2 groups

    masks = chosen({"conv": score}, 4, "2:4")

    assert masks["conv"].flatten().int().tolist() == [1, 1, 0, 0, 0, 0, 1, 1]


def test_short_blocks_are_filled_by_score_over_all_layers():
    scores = {"a": torch.tensor([[1.0, 2.0, 5.0], [1.0, 2.0, 3.0]]), "b": torch.tensor([[2.0, 1.0, 4.0]])}

    # Rows of a full block of 2 and a short one of 1. The three full blocks keep one each.
    by_live = {live: chosen(scores, live, "1:2") for live in (3, 4, 5, 6)}

    assert [[int(m.sum()) for m in by_live[live].values()] for live in by_live] == [[2, 1], [3, 1], [3, 2], [4, 2]]
    assert by_live[4]["a"].int().tolist() == [[0, 1, 1], [0, 1, 0]]


def test_a_short_block_keeps_at_most_n():
    masks = chosen({"layer": torch.tensor([[1.0, 2.0, 3.0, 4.0, 9.0, 8.0, 7.0]])}, 4, "2:4")

    assert masks["layer"].int().tolist() == [[0, 0, 1, 1, 1, 1, 0]]
    with pytest.raises(SparsityError, match=r"leaves 5 of 7 weights.*2 to 4 stay"):
        chosen({"layer": torch.ones(1, 7)}, 5, "2:4")


def test_a_layer_narrower_than_a_block_keeps_its_largest_weight():
    scores = {"narrow": torch.tensor([[0.1, 0.3], [0.2, 0.1]]), "wide": torch.full((1, 10), 9.0)}

    masks = chosen(scores, 4, "1:4")  # two full blocks of wide, the protected weight, one of wide's short block

    assert masks["narrow"].int().tolist() == [[0, 1], [0, 0]]
    assert int(masks["wide"].sum()) == 3


@pytest.mark.parametrize("pattern", [(2, 4), (1, 3), (7, 8)])
@settings(max_examples=30, deadline=None)
@given(
    shapes=st.lists(
        st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=4
    ),
    seed=st.integers(0, 3),
    offset=st.integers(-3, 3),
)
def test_every_full_block_has_exactly_n_and_every_short_one_at_most_n(pattern, shapes, seed, offset):
    kept, block = pattern
    generator = torch.Generator().manual_seed(seed)
    scores = {str(number): torch.randint(5, shape, generator=generator).float() for number, shape in enumerate(shapes)}
    live = max(1, sum(score.numel() for score in scores.values()) * kept // block + offset)
    try:
        masks = chosen(scores, live, f"{kept}:{block}")
    except SparsityError:
        return

    assert sum(int(mask.sum()) for mask in masks.values()) == live
    for mask in masks.values():
        for row in mask.movedim(1, -1).flatten(0, -2):
            counts = [(int(part.sum()), len(part)) for part in row.split(block)]
            assert all(count == kept if size == block else count <= kept for count, size in counts)


def test_a_sparsity_that_does_not_fit_names_the_one_that_does():
    shapes = {"a": torch.Size([10, 8]), "b": torch.Size([10, 4])}

    with pytest.raises(
        SparsityError, match=r"sparsity 0\.9 leaves 12 of 120.*60 stay\. Choose the sparsity 0\.5"
    ) as one:
        check_choice(shapes, 0.9, distribution="global", granularity="2:4")

    assert one.value.field == "sparsity"
    check_choice(shapes, 0.5, distribution="global", granularity="2:4")


def test_the_refusal_names_a_sparsity_of_as_many_digits_as_needed():
    shapes = {"a": torch.Size([1000, 3000])}

    with pytest.raises(SparsityError, match=r"Choose the sparsity 0\.6666667,"):
        check_choice(shapes, 0.6667, distribution="uniform", granularity="1:3")

    check_choice(shapes, 0.6666667, distribution="uniform", granularity="1:3")


@pytest.mark.parametrize("distribution", ["erk", "lamp"])
def test_distributions_that_a_pattern_contradicts_are_refused(distribution):
    with pytest.raises(SpecError, match=r"'2:4' gives every layer the same density.*'global' or 'uniform'") as caught:
        check_choice({"a": torch.Size([8, 8])}, 0.5, distribution=distribution, granularity="2:4")

    assert caught.value.field == "prune.distribution"
