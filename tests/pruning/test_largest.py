"""The k largest scores, compared with sorting."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from safs.pruning.largest import ascending, keep_largest, keep_largest_of_rows, keep_largest_overall

few_values = st.lists(st.integers(0, 4).map(float), min_size=1, max_size=30)


def kept_by_sorting(scores: list[float], live: int) -> list[bool]:
    """Sorts positions by (score, position), ascending; the last ``live`` of them are kept."""
    order = sorted(range(len(scores)), key=lambda place: (scores[place], place))
    return [place in order[len(scores) - live :] for place in range(len(scores))]


def test_the_first_of_equal_scores_are_pruned():
    kept = keep_largest(torch.tensor([1.0, 1.0, 0.5, 1.0, 2.0]), live=3)

    assert kept.tolist() == [False, True, False, True, True]


@given(scores=few_values, data=st.data())
def test_the_kept_scores_are_those_that_sorting_keeps(scores, data):
    live = data.draw(st.integers(0, len(scores)))

    assert keep_largest(torch.tensor(scores), live).tolist() == kept_by_sorting(scores, live)


@given(
    scores=st.integers(1, 6).flatmap(
        lambda size: st.lists(
            st.lists(st.integers(0, 3).map(float), min_size=size, max_size=size), min_size=1, max_size=5
        )
    ),
    data=st.data(),
)
def test_every_row_is_pruned_by_itself(scores, data):
    live = data.draw(st.integers(0, len(scores[0])))

    kept = keep_largest_of_rows(torch.tensor(scores), live)

    assert kept.tolist() == [kept_by_sorting(row, live) for row in scores]


def test_one_threshold_is_shared_by_all_layers():
    scores = {"a": torch.tensor([[1.0, 4.0]]), "b": torch.tensor([2.0, 3.0, 5.0])}

    masks = keep_largest_overall(scores, live=3)

    assert masks["a"].tolist() == [[False, True]]
    assert masks["b"].tolist() == [False, True, True]


def test_a_layer_of_small_weights_keeps_its_largest_at_the_cost_of_another_layer():
    scores = {"small": torch.tensor([0.1, 0.3, 0.2]), "large": torch.tensor([7.0, 8.0, 9.0])}

    masks = keep_largest_overall(scores, live=3)

    assert masks["small"].tolist() == [False, True, False]
    assert masks["large"].tolist() == [False, True, True]


def test_a_layer_of_equal_weights_protects_a_single_one():
    masks = keep_largest_overall({"equal": torch.ones(4), "other": torch.full((4,), 2.0)}, live=5)

    assert masks["equal"].tolist() == [True, False, False, False]
    assert masks["other"].all()


def test_sorting_does_not_change_its_input():
    values = torch.tensor([3.0, 1.0, 2.0])

    assert ascending(values).tolist() == [1.0, 2.0, 3.0]
    assert values.tolist() == [3.0, 1.0, 2.0]
