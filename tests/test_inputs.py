import copy
import json
from dataclasses import asdict

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from safs.inputs import InputSelection, SelectInputs, WithSelectedInputs

IMAGES = torch.arange(2 * 3 * 2 * 2).float().view(2, 3, 2, 2)  # Image 0 holds 0 .. 11 in flat order, image 1 12 .. 23.


def test_kept_pixels_become_channels_in_flat_order():
    reduced = SelectInputs(InputSelection("pixel", (0, 5, 11)))(IMAGES)

    assert reduced.shape == (2, 3, 1, 1)
    assert reduced.flatten(1).tolist() == [[0, 5, 11], [12, 17, 23]]


def test_kept_channels_stay_images():
    reduced = SelectInputs(InputSelection("channel", (0, 2)))(IMAGES)

    assert reduced.shape == (2, 2, 2, 2)
    assert reduced[0].tolist() == [[[0, 1], [2, 3]], [[8, 9], [10, 11]]]


def test_a_network_with_selected_inputs_takes_full_images():
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, 4))

    whole = WithSelectedInputs(network, InputSelection("pixel", (3, 4)))

    expected = IMAGES.flatten(1)[:, 3:5] @ network[1].weight.T + network[1].bias
    assert torch.allclose(whole(IMAGES), expected)
    assert set(whole.state_dict()) == {"network.1.weight", "network.1.bias"}
    assert torch.equal(copy.deepcopy(whole)(IMAGES), whole(IMAGES))


@pytest.mark.parametrize(("kind", "kept"), [("pixel", (0, 12)), ("channel", (3,))])
def test_images_with_fewer_inputs_than_are_kept_are_refused(kind, kept):
    with pytest.raises(ValueError, match=rf"{kind} {kept[-1]} is kept, and images of \(3, 2, 2\) have"):
        SelectInputs(InputSelection(kind, kept))(IMAGES)


@pytest.mark.parametrize(
    ("kept", "message"),
    [((), "must keep at least one"), ((1, 0), "ascending"), ((1, 1), "ascending"), ((-1, 0), "ascending")],
)
def test_a_selection_of_nothing_or_in_disorder_is_refused(kept, message):
    with pytest.raises(ValueError, match=message):
        InputSelection("pixel", kept)
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(InputSelection).validate_python({"kind": "pixel", "kept": kept})


def test_a_selection_survives_json():
    selection = InputSelection("channel", (0, 2, 7))

    assert TypeAdapter(InputSelection).validate_json(json.dumps(asdict(selection))) == selection
