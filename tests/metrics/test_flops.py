"""Operations counted by hand: two per weight and position at which it is used."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from safs import models
from safs.activations.surgery import rewire
from safs.metrics.flops import LayerFlops, count_flops


def weights_of(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: value for name, value in model.named_parameters() if name.endswith("weight") and value.dim() > 1}


@pytest.mark.parametrize("rewired", [False, True])
def test_lenet5_is_counted_by_layer_and_zeros_cost_nothing(rewired: bool):
    model = models.build("lenet5", channels=1, classes=10, image_size=28, seed=0)
    with torch.no_grad():
        model.conv2.weight[:4] = 0.0  # a quarter of it
        model.fc3.weight[0, :42] = 0.0  # a twentieth
    counted = rewire(model) if rewired else model

    report = count_flops(counted, weights_of(counted), torch.zeros(1, 1, 28, 28))

    assert report.layers == {
        "conv1.weight": LayerFlops(235_200, 235_200),  # 2 * 150 * 28 * 28
        "conv2.weight": LayerFlops(480_000, 360_000),  # 2 * 2,400 * 10 * 10
        "fc1.weight": LayerFlops(96_000, 96_000),
        "fc2.weight": LayerFlops(20_160, 20_160),
        "fc3.weight": LayerFlops(1_680, 1_596),
    }
    assert (report.dense, report.sparse) == (833_040, 833_040 - 120_000 - 84)


def test_a_grouped_strided_convolution_counts_what_it_computes():
    model = nn.Sequential(nn.Conv2d(4, 8, 3, stride=2, groups=2))

    report = count_flops(model, weights_of(model), torch.zeros(1, 4, 7, 7))

    assert report.dense == report.layers["0.weight"].dense == 2 * (8 * 2 * 3 * 3) * (3 * 3)


def test_every_use_of_a_shared_weight_counts():
    class Thrice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.tied = nn.Linear(5, 5), nn.Linear(5, 5)
            self.tied.weight = self.layer.weight

        def forward(self, images: Tensor) -> Tensor:
            return self.tied(self.layer(self.layer(images.flatten(1))))

    model = Thrice()

    report = count_flops(model, weights_of(model), torch.zeros(1, 5, 1, 1))

    assert report.layers == {"layer.weight": LayerFlops(150, 150)}


def test_attention_counts_for_the_total_and_its_projection_for_its_weight():
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, images: Tensor) -> Tensor:
            tokens = images.flatten(2).transpose(1, 2)
            return self.attention(tokens, tokens, tokens, need_weights=False)[0]

    model = Attention()
    output = model.attention.out_proj.weight

    report = count_flops(model, {"out": output}, torch.zeros(1, 8, 3, 3))

    assert report.layers["out"].dense == 2 * 64 * 9
    assert report.dense == 2 * 4 * 64 * 9 + 2 * 2 * 9 * 9 * 8  # four projections; q k^T and its product with v


def test_a_weight_that_is_standardised_before_its_use_is_found():
    class Standardised(nn.Conv2d):
        def forward(self, images: Tensor) -> Tensor:
            rows = F.batch_norm(self.weight.flatten(1)[None], None, None, training=True)
            return F.conv2d(images, rows.view_as(self.weight), self.bias)

    model = nn.Sequential(Standardised(2, 3, 3))

    report = count_flops(model, weights_of(model), torch.zeros(1, 2, 5, 5))

    assert report.layers == {"0.weight": LayerFlops(2 * 54 * 9, 2 * 54 * 9)}


def test_the_model_stays_as_it_was():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3)).train()

    count_flops(model, {"w": model[1].weight}, torch.ones(1, 1, 2, 2))

    assert model.training
    assert int(model[2].num_batches_tracked) == 0
    assert all(parameter.grad is None for parameter in model.parameters())
