"""Granularities: how a layer's weights are divided into groups."""

import pytest
import torch

from safs.errors import SpecError, UnknownNameError
from safs.pruning.axes.granularity import GRANULARITIES, Pattern, granularity_named

LINEAR = torch.arange(6.0).view(2, 3)
CONV = torch.arange(16.0).view(2, 2, 2, 2)  # [out, in, height, width]


@pytest.mark.parametrize(
    ("name", "linear", "conv"),
    [
        ("weight", [[0], [1], [2], [3], [4], [5]], [[float(number)] for number in range(16)]),
        ("filter", [[0, 1, 2], [3, 4, 5]], [list(range(8)), list(range(8, 16))]),
        ("row", [[0, 1, 2], [3, 4, 5]], [list(range(8)), list(range(8, 16))]),
        ("input_channel", [[0, 3], [1, 4], [2, 5]], [[0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]]),
        ("column", [[0, 3], [1, 4], [2, 5]], [[place, place + 8] for place in range(8)]),
    ],
)
def test_groups_hold_the_weights_that_belong_together(name, linear, conv):
    assert GRANULARITIES[name].grouped(LINEAR).tolist() == linear
    assert GRANULARITIES[name].grouped(CONV).tolist() == conv


@pytest.mark.parametrize("name", GRANULARITIES)
@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 2), (4, 3, 5, 2), (6, 1, 3, 3)])
def test_ungrouping_undoes_grouping_and_the_group_size_follows_from_the_shape(name, shape):
    weight = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    granularity = GRANULARITIES[name]

    groups = granularity.grouped(weight)

    assert torch.equal(granularity.ungrouped(groups, weight.shape), weight)
    assert groups.shape[1] == granularity.group_size(weight.shape)


def test_names_and_patterns_are_distinguished():
    assert granularity_named("column") is GRANULARITIES["column"]
    assert granularity_named("2:4") == Pattern(kept=2, block=4)
    assert str(granularity_named("01:08")) == "1:8"


@pytest.mark.parametrize("name", ["collumn", "2-4", "2:", "2:4:8", "-1:4", "two:four", ""])
def test_a_name_that_is_neither_lists_the_names_and_the_form(name):
    with pytest.raises(UnknownNameError, match=r"Known: weight, filter, input_channel, column, row, <n>:<m>") as caught:
        granularity_named(name)

    assert caught.value.field == "prune.granularity"


@pytest.mark.parametrize("name", ["0:4", "4:4", "5:4", "1:65", "0:0"])
def test_a_pattern_that_prunes_nothing_or_everything_or_is_too_long_is_refused(name):
    with pytest.raises(SpecError, match="below m, and m at most 64") as caught:
        granularity_named(name)

    assert caught.value.field == "prune.granularity"
