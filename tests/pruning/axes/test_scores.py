"""Scores: two-layer networks worked by hand, and the contract of all scores."""

import copy
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from safs.pruning.axes.scores import SCORES, Batches, ScoreInput
from safs.pruning.masks import Masks, apply_masks, prunable_parameters

FIRST = [[1.0, 2.0], [3.0, -1.0]]
SECOND = [[2.0, -3.0], [-4.0, 6.0]]


def linear(weight: list[list[float]]) -> nn.Linear:
    layer = nn.Linear(len(weight[0]), len(weight), bias=False)
    layer.weight.data = torch.tensor(weight)
    return layer


def two_layers(*between: nn.Module) -> nn.Sequential:
    """SECOND x FIRST, as parameters ``0.weight`` and ``<last>.weight``."""
    return nn.Sequential(linear(FIRST), *between, linear(SECOND))


def batches_of(*images: Tensor) -> Batches:
    """Batches with labels 0."""
    return lambda: iter([(one, torch.zeros(len(one), dtype=torch.long)) for one in images])


def scores_of(
    name: str, model: nn.Module, batches: Batches | None = None, *, masks: Masks | None = None, seed: int = 0
) -> dict[str, Tensor]:
    return SCORES[name].compute(ScoreInput(model, masks, batches or batches_of(torch.zeros(1, 2)), seed))


def test_magnitude_is_the_absolute_value():
    scores = scores_of("magnitude", two_layers())

    assert scores["0.weight"].tolist() == [[1, 2], [3, 1]]
    assert scores["1.weight"].tolist() == [[2, 3], [4, 6]]


def test_gradient_is_the_weight_times_the_mean_gradient_over_all_samples():
    ones, zeros = torch.ones(1, 2), torch.zeros(1, 2)

    scores = scores_of("gradient", two_layers(), batches_of(torch.cat([ones, zeros]), ones))

    # For x = (1, 1): hidden (3, 2), logits (0, 0), so dL/dlogits = (-1/2, 1/2) and dL/dhidden = (-3, 4.5).
    # Then |w g| is ((3, 6), (13.5, 4.5)) and ((3, 3), (6, 6)); x = (0, 0) has no gradient. Two of three samples count.
    assert scores["0.weight"].flatten().tolist() == pytest.approx([2, 4, 9, 3])
    assert scores["1.weight"].flatten().tolist() == pytest.approx([2, 2, 4, 4])


def test_the_gradient_score_of_a_masked_network_is_that_of_its_live_weights():
    masks = {"0.weight": torch.tensor([[True, False], [True, True]]), "1.weight": torch.ones(2, 2, dtype=torch.bool)}
    masked = two_layers()
    apply_masks(dict(masked.named_parameters()), masks)
    batches = batches_of(torch.tensor([[0.3, -0.2], [0.1, 0.4]]))

    scores, expected = scores_of("gradient", two_layers(), batches, masks=masks), scores_of("gradient", masked, batches)

    assert scores["0.weight"][0, 1] == 0
    assert torch.allclose(scores["0.weight"][masks["0.weight"]], expected["0.weight"][masks["0.weight"]])
    assert torch.allclose(scores["1.weight"], expected["1.weight"])


def test_synflow_is_the_flow_through_a_weight_from_an_input_of_ones():
    scores = scores_of("synflow", two_layers(nn.ReLU()))

    # The hidden neurons get 1 + 2 and 3 + 1, and pass on by 2 + 4 and 3 + 6; R = 54.
    assert scores["0.weight"].flatten().tolist() == pytest.approx([6, 12, 27, 9])
    assert scores["2.weight"].flatten().tolist() == pytest.approx([6, 12, 12, 24])


@pytest.mark.parametrize("between", [nn.ReLU(), nn.ReLU6(), nn.Tanh(), nn.ELU()])
def test_synflow_does_not_saturate_where_the_activation_does(between):
    model = nn.Sequential(linear([[100.0, 50.0]]), between, linear([[1.0], [2.0]]))

    assert scores_of("synflow", model)["0.weight"].flatten().tolist() == pytest.approx([300, 150])


def test_synflow_scales_by_batch_norm_and_leaves_its_shift_and_biases_out():
    norm = nn.BatchNorm1d(2, eps=1.0)
    norm.weight.data, norm.bias.data = torch.tensor([-4.0, 3.0]), torch.tensor([7.0, -7.0])
    norm.running_mean, norm.running_var = torch.tensor([100.0, -100.0]), torch.tensor([3.0, 8.0])
    model = two_layers(norm)
    model[2].bias = nn.Parameter(torch.tensor([5.0, 5.0]))

    scores = scores_of("synflow", model)

    # The scales are 4 / 2 and 3 / 3.
    assert scores["0.weight"].flatten().tolist() == pytest.approx([12, 24, 27, 9])
    assert scores["2.weight"].flatten().tolist() == pytest.approx([12, 12, 24, 24])


def test_synflow_is_equal_in_all_layers_of_a_deep_chain_beyond_float32():
    torch.manual_seed(0)
    model = nn.Sequential(*(layer for _ in range(150) for layer in (nn.Linear(64, 64), nn.ReLU())))
    for layer in model[::2]:
        nn.init.normal_(layer.weight)

    flows = [float(score.sum()) for score in scores_of("synflow", model, batches_of(torch.zeros(1, 64))).values()]

    assert flows[0] > 1e200
    assert all(flow == pytest.approx(flows[0]) for flow in flows)


def test_lookahead_is_the_weight_times_the_norms_of_the_weights_before_and_after_it():
    scores = scores_of("lookahead", two_layers(nn.ReLU()))

    # SECOND's columns have the norms sqrt 20 and sqrt 45, FIRST's rows sqrt 5 and sqrt 10; input and output count 1.
    assert scores["0.weight"].square().flatten().tolist() == pytest.approx([20, 4 * 20, 9 * 45, 45])
    assert scores["2.weight"].square().flatten().tolist() == pytest.approx([4 * 5, 9 * 10, 16 * 5, 36 * 10])


def test_random_depends_on_its_seed_alone():
    torch.manual_seed(1)
    first = scores_of("random", two_layers(), seed=5)
    torch.manual_seed(2)
    second, other = scores_of("random", two_layers(), seed=5), scores_of("random", two_layers(), seed=6)

    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)
    assert not torch.equal(first["0.weight"], first["1.weight"])


class Block(nn.Module):
    """Batch norm, dropout, a shortcut, a concatenation, a gate, and a layer that only train mode uses."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.body = nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.gate = nn.Linear(4, 4)
        self.drop = nn.Dropout(0.5)
        self.auxiliary = nn.Linear(8, 3)
        self.head = nn.Linear(8 * 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu_(self.norm(self.stem(x)))
        x = x + self.body(x) * torch.sigmoid(self.gate(x.mean((2, 3))))[:, :, None, None]
        x = self.drop(torch.cat([x, -x], 1))
        logits = self.head(nn.functional.avg_pool2d(x, 2).flatten(1))
        return logits + self.auxiliary(x.mean((2, 3))) if self.training else logits


@pytest.fixture
def block() -> Block:
    torch.manual_seed(3)
    model = Block()
    with torch.no_grad():
        model.norm.running_mean.normal_()
        model.norm.running_var.uniform_(0.5, 2)
    return model


IMAGES = batches_of(torch.randn(5, 2, 4, 4, generator=torch.Generator().manual_seed(0)))


def half_masked(model: nn.Module) -> Masks:
    return {
        name: torch.arange(weight.numel()).view_as(weight) % 2 == 0
        for name, weight in prunable_parameters(model).items()
    }


@pytest.mark.parametrize("name", SCORES)
def test_every_weight_has_a_finite_score_and_masked_ones_alone_have_0(name, block):
    masks = half_masked(block)

    whole, masked = scores_of(name, block, IMAGES), scores_of(name, block, IMAGES, masks=masks)

    parameters = prunable_parameters(block)
    assert list(whole) == list(masked) == list(parameters)
    for key, weight in parameters.items():
        assert whole[key].shape == weight.shape
        assert not whole[key].requires_grad
        assert torch.isfinite(whole[key]).all()
        assert (whole[key] > 0).all()
        assert torch.equal(masked[key] > 0, masks[key])


@pytest.mark.parametrize("name", SCORES)
def test_an_unused_weight_scores_above_masked_ones(name, block):
    with torch.no_grad():
        block.head.weight.zero_()  # no gradient, no flow, no neighbour

    scores = scores_of(name, block, IMAGES, masks=half_masked(block))

    assert (scores["stem.weight"].flatten()[::2] > 0).all()
    assert (scores["stem.weight"].flatten()[1::2] == 0).all()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", SCORES)
def test_the_model_is_left_exactly_as_it_was(name, training, block):
    block.train(training)
    block.norm.train(not training)
    block.body.weight.requires_grad_(False)
    block.stem.weight.grad = torch.full_like(block.stem.weight, 2.0)
    state, modes = copy.deepcopy(block.state_dict()), [module.training for module in block.modules()]
    parameters = dict(block.named_parameters())
    torch.manual_seed(7)

    scores_of(name, block, IMAGES)

    drawn = torch.rand(3)
    torch.manual_seed(7)
    assert torch.equal(drawn, torch.rand(3))
    assert all(torch.equal(value, state[key]) for key, value in block.state_dict().items())
    assert all(value is parameters[key] for key, value in block.named_parameters())
    assert [module.training for module in block.modules()] == modes
    assert [key for key, value in parameters.items() if value.grad is not None] == ["stem.weight"]
    assert (block.stem.weight.grad == 2).all()
    assert [key for key, value in parameters.items() if not value.requires_grad] == ["body.weight"]


@pytest.mark.parametrize("around", [torch.no_grad, torch.enable_grad])
@pytest.mark.parametrize("name", SCORES)
def test_scores_are_the_same_in_any_surroundings(name, around: Callable[..., object], block):
    first = scores_of(name, block.train(), IMAGES)
    with around():
        second = scores_of(name, block.eval(), IMAGES)

    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", SCORES)
def test_a_weight_that_two_layers_share_has_one_score(name):
    shared = nn.Linear(4, 4)
    model = nn.Sequential(shared, nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3))
    model[2].weight = shared.weight

    scores = scores_of(name, model, batches_of(torch.rand(2, 4)))

    assert list(scores) == ["0.weight", "4.weight"]
    assert all((score > 0).all() for score in scores.values())


def test_synflow_counts_the_flow_through_both_uses_of_a_shared_weight():
    shared = linear([[2.0]])
    other = linear([[1.0]])
    other.weight = shared.weight

    scores = scores_of("synflow", nn.Sequential(shared, other), batches_of(torch.zeros(1, 1)))

    assert float(scores["0.weight"]) == pytest.approx(8)  # R = w^2, so w dR/dw = 2 w^2


@pytest.mark.parametrize(("above", "below"), list(pairwise(SCORES)))
def test_scores_are_different_from_each_other(above, below, block):
    first, second = scores_of(above, block, IMAGES), scores_of(below, block, IMAGES)

    assert not torch.equal(first["head.weight"].flatten().argsort(), second["head.weight"].flatten().argsort())


def test_every_score_has_a_summary_and_a_source():
    assert all(score.summary and "arXiv" in score.source for score in SCORES.values())
