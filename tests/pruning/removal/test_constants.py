"""Constants of removed units, worked by hand: a unit without inputs outputs act(bias)."""

import pytest
import torch
from torch import nn

from safs.pruning.removal.constants import fold_constants, zero_incoming
from safs.pruning.removal.coupling import find_groups


def fill(layer: nn.Module, **values: object) -> None:
    with torch.no_grad():
        for name, value in values.items():
            getattr(layer, name).copy_(torch.tensor(value))


def fold(model: nn.Module, removed: dict[str, tuple[int, ...]], *shape: int) -> None:
    example = torch.zeros(1, *shape)
    groups = find_groups(model, example)
    zero_incoming(model, groups, removed)
    fold_constants(model, groups, removed, example)


def test_incoming_weights_become_zero_and_biases_stay():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    bias, outgoing = model[0].bias.detach().clone(), model[2].weight.detach().clone()

    zero_incoming(model, find_groups(model, torch.zeros(1, 2)), {"0": (1,)})

    assert model[0].weight[1].tolist() == [0.0, 0.0]
    assert model[0].weight[[0, 2]].all()
    assert torch.equal(model[0].bias, bias)
    assert torch.equal(model[2].weight, outgoing)


def test_a_linear_layer_takes_the_constant_into_its_bias():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    fill(model[0], bias=[4.0, 3.0, -1.0])
    fill(model[2], weight=[[5.0, 7.0, 11.0], [1.0, -2.0, 11.0]], bias=[0.5, 0.0])

    fold(model, {"0": (1, 2)}, 2)

    assert model[2].bias.tolist() == [0.5 + 7 * 3, -2 * 3]  # relu(-1) = 0 adds nothing


def test_an_activation_that_is_not_zero_at_zero_is_folded_too():
    model = nn.Sequential(nn.Linear(2, 2), nn.Sigmoid(), nn.Linear(2, 1))
    fill(model[0], bias=[0.0, 0.0])
    fill(model[2], weight=[[3.0, 8.0]], bias=[1.0])

    fold(model, {"0": (1,)}, 2)

    assert model[2].bias.item() == pytest.approx(1 + 8 * 0.5)


def test_a_layer_without_bias_shifts_the_norm_that_reads_it():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 3, bias=False), nn.BatchNorm1d(3), nn.Linear(3, 1))
    fill(model[0], bias=[2.0, 1.0])
    fill(model[2], weight=[[1.0, 10.0], [1.0, 20.0], [1.0, 30.0]])
    fill(model[3], running_mean=[0.0, 0.0, 5.0])

    fold(model, {"0": (1,)}, 2)

    assert model[3].running_mean.tolist() == [-10.0, -20.0, -25.0]


def test_a_norms_shift_of_a_removed_unit_is_its_constant():
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.BatchNorm1d(2), nn.ReLU(), nn.Linear(2, 1))
    fill(model[1], weight=[1.0, 2.0], bias=[0.0, 3.0], running_mean=[0.0, 4.0], running_var=[1.0, 4.0 - 1e-5])
    fill(model[3], weight=[[1.0, 10.0]], bias=[0.0])

    fold(model, {"0": (0,)}, 2)
    assert model[3].bias.item() == 0.0

    fill(model[1], bias=[7.0, 3.0])
    fold(model, {"0": (0, 1)}, 2)
    assert model[3].bias.item() == 7.0  # relu((0 - 4) / 2 * 2 + 3) = relu(-1) = 0 for the other


def test_a_convolution_without_padding_takes_the_sum_over_its_kernel():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 1, 2), nn.Flatten(), nn.Linear(9, 2))
    fill(model[0], bias=[0.0, 2.0])
    fill(model[2], weight=[[[[1.0, 1.0], [1.0, 1.0]], [[1.0, 2.0], [3.0, 4.0]]]], bias=[0.25])

    fold(model, {"0": (1,)}, 1, 6, 6)

    assert model[2].bias.item() == pytest.approx(0.25 + 10 * 2)


def test_after_flattening_every_pixel_adds_its_column():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(8, 1))
    fill(model[0], bias=[0.0, 2.0])
    fill(model[3], weight=[[0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 4.0]], bias=[0.0])

    fold(model, {"0": (1,)}, 1, 2, 2)

    assert model[3].bias.item() == 10 * 2


@pytest.mark.parametrize("reader", [nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding="same")])
def test_a_constant_that_varies_at_a_padded_border_is_dropped(reader):
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), reader, nn.Flatten(), nn.Linear(32, 2))
    fill(model[0], bias=[0.0, 2.0])
    bias = reader.bias.detach().clone()

    fold(model, {"0": (1,)}, 1, 4, 4)

    assert torch.equal(reader.bias, bias)


def test_a_unit_that_still_varies_is_not_folded():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    bias, example = model[2].bias.item(), torch.zeros(1, 2)

    fold_constants(model, find_groups(model, example), {"0": (1,)}, example)

    assert model[2].bias.item() == bias
