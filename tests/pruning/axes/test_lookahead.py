"""Norms of the weights before and after a weight, worked by hand; squares are whole numbers."""

import pytest
import torch
from torch import Tensor, nn

from safs.pruning.axes.lookahead import neighbour_norms
from safs.pruning.masks import prunable_parameters


def squares(model: nn.Module, *image: int) -> dict[str, Tensor]:
    """Returns squared norms before times after each weight, [out, in]."""
    weights = {name: weight.detach() for name, weight in prunable_parameters(model).items()}
    norms = neighbour_norms(model.eval(), weights, torch.Size(image))
    return {name: norm.square().flatten(1) for name, norm in norms.items()}


def filled(layer: nn.Module, rows: list[float]) -> nn.Module:
    """Sets all weights of each output of ``layer`` to one value."""
    weight = layer.get_parameter("weight")
    weight.data = torch.tensor(rows, dtype=torch.float32).view(-1, *(1,) * (weight.dim() - 1)).expand_as(weight).clone()
    return layer


def approximately(*rows: list[float]) -> Tensor:
    return pytest.approx(torch.tensor(rows))


def test_batch_norm_scales_the_norms_before_and_after():
    norm = nn.BatchNorm1d(2, eps=1.0)
    norm.weight.data, norm.running_var = torch.tensor([-4.0, 3.0]), torch.tensor([3.0, 8.0])  # scales 2 and 1
    norm.bias.data, norm.running_mean = torch.tensor([9.0, 9.0]), torch.tensor([5.0, -5.0])

    found = squares(nn.Sequential(filled(nn.Linear(3, 2), [1, 2]), norm, filled(nn.Linear(2, 2), [1, 3])), 3)

    # Each column of the second has 1 + 9, each row of the first 3 * 1 and 3 * 4.
    assert found["0.weight"] == approximately([40.0] * 3, [10.0] * 3)
    assert found["2.weight"] == approximately([12.0, 12.0], [12.0, 12.0])


def test_after_flattening_a_channel_is_read_by_all_its_columns():
    model = nn.Sequential(
        filled(nn.Conv2d(1, 2, 2), [1, 2]), nn.MaxPool2d(2), nn.Flatten(), filled(nn.Linear(8, 2), [1, 3])
    )

    found = squares(model, 1, 5, 5)

    # 4 columns of 1 + 9 read each channel of 2 x 2; filters of 4 weights have 4 * 1 and 4 * 4.
    assert found["0.weight"].flatten().tolist() == pytest.approx([40, 40])
    assert found["3.weight"] == approximately([4.0] * 4 + [16.0] * 4, [4.0] * 4 + [16.0] * 4)


def test_depthwise_filters_have_their_own_channel_before_and_after():
    model = nn.Sequential(
        filled(nn.Conv2d(1, 2, 1), [1, 2]),
        filled(nn.Conv2d(2, 4, 2, groups=2), [1, 2, 3, 4]),
        filled(nn.Conv2d(4, 1, 1), [5]),
    )

    found = squares(model, 1, 3, 3)

    # Channel 0 is read by filters 0 and 1 (4 * 1 + 4 * 4), channel 1 by filters 2 and 3 (4 * 9 + 4 * 16).
    assert found["0.weight"].flatten().tolist() == pytest.approx([20, 100])
    assert found["1.weight"].flatten().tolist() == pytest.approx([25, 25, 4 * 25, 4 * 25])
    assert found["2.weight"].flatten().tolist() == pytest.approx([4, 16, 36, 64])


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.body = filled(nn.Linear(1, 2), [1, 2]), filled(nn.Linear(2, 2), [3, 4])
        self.head = filled(nn.Linear(2, 1), [5])

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x += torch.relu(self.body(x))
        return self.head(x)


def test_a_shortcut_makes_the_layers_around_a_block_neighbours():
    found = squares(Residual(), 1)

    # The stem is read by body (9 + 16 a column) and head (25). The head reads the stem (1, 4) and body (18, 32).
    assert found["stem.weight"].flatten().tolist() == pytest.approx([50, 50])
    assert found["body.weight"] == approximately([25.0, 100.0], [25.0, 100.0])
    assert found["head.weight"].flatten().tolist() == pytest.approx([19, 36])


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = filled(nn.Linear(1, 1), [2]), filled(nn.Linear(1, 2), [3, 4])
        self.head = nn.Linear(3, 1)
        self.head.weight.data = torch.tensor([[5.0, 6.0, 7.0]])
        self.never = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.cat([self.left(x), self.right(x)], dim=1))


def test_concatenated_channels_keep_their_own_neighbours_and_an_unused_layer_has_none():
    found = squares(Branches(), 1)

    assert found["left.weight"].flatten().tolist() == pytest.approx([25])
    assert found["right.weight"].flatten().tolist() == pytest.approx([36, 49])
    assert found["head.weight"].flatten().tolist() == pytest.approx([4, 9, 16])
    assert (found["never.weight"] == 1).all()


class Gate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gate = filled(nn.Conv2d(1, 2, 1), [1, 2]), filled(nn.Conv2d(2, 2, 1), [3, 4])
        self.head = filled(nn.Conv2d(2, 1, 1), [5])

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return self.head(x * torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True))))


def test_a_gate_counts_as_a_sum():
    found = squares(Gate(), 1, 4, 4)

    assert found["conv.weight"].flatten().tolist() == pytest.approx([50, 50])
    assert found["gate.weight"] == approximately([25.0, 100.0], [25.0, 100.0])
    assert found["head.weight"].flatten().tolist() == pytest.approx([19, 36])


class Attention(nn.Module):
    """A transformer's block: sequences of 3 tokens of width 4, position embeddings, layer norm."""

    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.randn(1, 3, 4))
        self.embed, self.norm = filled(nn.Linear(2, 4), [1, 2, 3, 4]), nn.LayerNorm(4)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.head = filled(nn.Linear(4, 2), [3, 4])

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x) + self.position
        y = self.norm(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return self.head(x).mean(1)


def test_attention_counts_as_1_and_norms_and_position_embeddings_do_not_count():
    found = squares(Attention(), 3, 2)

    # embed is read by head (9 + 16) and by attention (1); head reads embed (2, 8, 18, 32) and attention (1).
    assert found["embed.weight"] == approximately(*[[26.0, 26.0]] * 4)
    assert found["head.weight"] == approximately(*[[3.0, 9.0, 19.0, 33.0]] * 2)
    assert (found["attention.out_proj.weight"] == 1).all()


def test_a_layer_that_is_called_twice_has_the_neighbours_of_both_calls():
    middle = filled(nn.Linear(2, 2), [1, 2])
    model = nn.Sequential(filled(nn.Linear(1, 2), [3, 4]), middle, nn.ReLU(), middle, filled(nn.Linear(2, 1), [5]))

    found = squares(model, 1)

    # Before: 9 and 16 the first time, its own rows (2, 8) the second; after: itself (1 + 4) and 25.
    assert found["1.weight"] == approximately([30.0 * 11, 30.0 * 24], [30.0 * 11, 30.0 * 24])


def test_the_readers_of_a_pruned_channel_score_zero():
    model = nn.Sequential(filled(nn.Linear(1, 2), [0, 2]), nn.ReLU(), filled(nn.Linear(2, 1), [3]))

    assert squares(model, 1)["2.weight"].flatten().tolist() == pytest.approx([0, 4])
