"""Networks in lanes: outputs equal to torch's for every geometry, and no wrong sums in memory that is used again."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from safs.activations.module import Activation
from safs.activations.operators import OPERATORS
from safs.deploy.sparse.lanes import network as lane_network
from safs.deploy.sparse.lanes.layout import lanes_for
from safs.deploy.sparse.lanes.network import LaneNetwork
from safs.deploy.sparse.runtime import SparseNetwork
from safs.deploy.torch_graph import traced


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def sparse(layer: nn.Conv2d | nn.Linear, sparsity: float = 0.7) -> nn.Conv2d | nn.Linear:
    """The layer with random weights, most of which are zero."""
    weight = random(*layer.weight.shape, seed=1)
    weight[random(*weight.shape, seed=2).abs().argsort(0).argsort(0) < sparsity * len(weight)] = 0
    with torch.no_grad():
        layer.weight.copy_(weight)
    return layer


def check(model: nn.Module, x: Tensor) -> None:
    """Assert that the network has the outputs of torch, for batch after batch."""
    run = SparseNetwork(traced(model.eval())).lanes(x)
    assert run is not None
    for given in (x, 100 * x, x.flip(0)):
        with torch.inference_mode():
            expected, actual = model(given), run(given)
        assert actual.shape == expected.shape
        assert (actual - expected).abs().max() <= 1e-5 * expected.abs().max()


class Block(nn.Module):
    """Two convolutions with a residual, of which the first may change the size; global pooling; logits."""

    def __init__(self, first: nn.Module, operator: str = "relu") -> None:
        super().__init__()
        self.stem = sparse(nn.Conv2d(3, 8, 3, padding=1))
        self.first, self.second = sparse(first), sparse(nn.Conv2d(8, 8, 3, padding=1))
        self.act, self.act2 = Activation(OPERATORS[operator]), Activation(OPERATORS["relu"])
        self.pool, self.last = nn.AdaptiveAvgPool2d(1), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.first(self.stem(x)))
        y = self.act2(self.second(y) + y)
        return self.last(torch.flatten(self.pool(y), 1))


CONVOLUTIONS = {
    "3x3": {"kernel_size": 3, "padding": 1},
    "3x3, stride 2": {"kernel_size": 3, "padding": 1, "stride": 2},
    "1x1, stride 2": {"kernel_size": 1, "stride": 2},
    "5x5 without padding": {"kernel_size": 5},
    "7x7, stride 2": {"kernel_size": 7, "padding": 3, "stride": 2},
    "dilated": {"kernel_size": 3, "padding": 2, "dilation": 2},
    "3x1 with stride 2 in rows": {"kernel_size": (3, 1), "padding": (1, 0), "stride": (2, 1)},
    "depthwise": {"kernel_size": 3, "padding": 1, "groups": 8},
    "two groups": {"kernel_size": 3, "padding": 1, "groups": 2},
}


@pytest.mark.parametrize("kind", CONVOLUTIONS)
@pytest.mark.parametrize(("size", "batch"), [(16, 1), (12, 3), (7, 17)])
def test_convolutions_of_every_kind_are_those_of_torch(kind: str, size: int, batch: int) -> None:
    check(Block(nn.Conv2d(8, 8, **CONVOLUTIONS[kind])), random(batch, 3, size, size))


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", CONVOLUTIONS)
@pytest.mark.parametrize("size", [6, 8, 9, 14, 20, 32])
@pytest.mark.parametrize("batch", [1, 2, 5, 8, 16, 33])
def test_convolutions_of_every_size_are_those_of_torch(kind: str, size: int, batch: int) -> None:
    check(Block(nn.Conv2d(8, 8, **CONVOLUTIONS[kind])), random(batch, 3, size, size))


@pytest.mark.parametrize("operator", ["relu6", "swish", "softplus", "logsigmoid", "identity"])
@pytest.mark.parametrize("batch", [1, 16])
def test_padding_is_zero_behind_every_activation(operator: str, batch: int) -> None:
    check(Block(nn.Conv2d(8, 8, 3, padding=1), operator), random(batch, 3, 8, 8))


@pytest.mark.parametrize("batch", [1, 2, 18])
@pytest.mark.parametrize("pool", [nn.MaxPool2d(2), nn.AvgPool2d(2), nn.MaxPool2d(3, 2), nn.AdaptiveAvgPool2d(1)])
def test_pooling_and_features_are_those_of_torch(pool: nn.Module, batch: int) -> None:
    x = random(batch, 3, 8, 8)
    features = pool(x).flatten(1).shape[1]
    layers = [pool, nn.Flatten(), nn.Linear(features, 20), Activation(OPERATORS["swish"]), sparse(nn.Linear(20, 4))]

    check(nn.Sequential(*layers), x)


def test_many_input_channels_are_summed_in_passes() -> None:
    check(
        nn.Sequential(sparse(nn.Conv2d(96, 8, 3, padding=1), 0.5), nn.Flatten(), nn.Linear(512, 3)), random(2, 96, 8, 8)
    )


def test_an_overflow_of_a_neighbour_in_the_batch_changes_no_other_image() -> None:
    model = Block(nn.Conv2d(8, 8, 3, padding=1))
    x = random(3, 3, 8, 8)
    run = SparseNetwork(traced(model.eval())).lanes(x)
    assert run is not None
    x[1] = float("inf")

    with torch.inference_mode():
        logits, expected = run(x), model(x)

    assert torch.allclose(logits[[0, 2]], expected[[0, 2]], rtol=1e-4, atol=1e-4)
    assert not logits[1].isfinite().any()


@pytest.mark.parametrize("size", [1, 2, 4, 8, 16])
def test_blocks_of_any_size_have_the_outputs_of_the_batch(size: int) -> None:
    model, x = Block(nn.Conv2d(8, 8, 3, padding=1, stride=2)), random(11, 3, 8, 8)
    run = SparseNetwork(traced(model.eval())).lanes(x, size)
    assert run is not None

    with torch.inference_mode():
        assert torch.allclose(run(x), model(x), rtol=1e-4, atol=1e-4)


def test_threads_share_the_blocks_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_network, "_WORTH_A_THREAD", 1)
    model, x = Block(nn.Conv2d(8, 8, 3, padding=1, stride=2)), random(40, 3, 8, 8)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        check(model, x)
    finally:
        torch.set_num_threads(before)


def test_a_small_network_wakes_no_thread() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run = SparseNetwork(traced(Block(nn.Conv2d(8, 8, 3)).eval())).lanes(random(32, 3, 8, 8))
    finally:
        torch.set_num_threads(before)

    assert isinstance(run, LaneNetwork)
    assert len(run._memory) == 1


def test_no_thread_records_gradients_of_learned_scalars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_network, "_WORTH_A_THREAD", 1)
    model, x = Block(nn.Conv2d(8, 8, 3, padding=1), "srs"), random(32, 3, 8, 8)  # srs runs in torch
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run = SparseNetwork(traced(model.eval())).lanes(x)
        assert isinstance(run, LaneNetwork)
        with torch.inference_mode():
            run(x)
    finally:
        torch.set_num_threads(before)

    assert len(run._memory) == 2
    assert not any(block.values.requires_grad for block in run._memory)


def test_a_network_with_other_steps_has_no_form_in_lanes() -> None:
    class Normalised(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.normalize(x.flatten(1))

    assert SparseNetwork(traced(Normalised())).lanes(random(1, 3, 4, 4)) is None


@pytest.mark.parametrize(
    ("images", "height", "width", "parts"),
    [
        (1, 32, 32, (4, 4)),
        (1, 8, 14, (4, 2)),
        (1, 7, 7, (1, 1)),
        (2, 8, 8, (2, 4)),
        (4, 8, 6, (2, 2)),
        (16, 8, 8, (1, 1)),
    ],
)
def test_lanes_are_filled_with_parts_of_images(images: int, height: int, width: int, parts: tuple[int, int]) -> None:
    lanes = lanes_for(images, height, width, 1)

    assert sorted((lanes.down, lanes.across)) == sorted(parts)
    assert (lanes.height, lanes.width) == (height, width)
