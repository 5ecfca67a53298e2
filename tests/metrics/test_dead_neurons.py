"""Dead neurons, counted by hand."""

import pytest
import torch
from torch import Tensor, nn

from safs import models
from safs.activations.module import Activation
from safs.activations.operators import OPERATORS
from safs.activations.surgery import RewiredModel, rewire
from safs.metrics.dead_neurons import FLAT, counting_dead_neurons, derivative, measure_dead_neurons

CPU = torch.device("cpu")


def linear(weight: list[list[float]], bias: list[float]) -> nn.Linear:
    layer = nn.Linear(len(weight[0]), len(weight))
    layer.weight.data, layer.bias.data = torch.tensor(weight), torch.tensor(bias)
    return layer


def net(*layers: nn.Module) -> RewiredModel:
    """The layers on flattened images; activations are named by their position."""
    return rewire(nn.Sequential(nn.Flatten(), *layers))


def pixels(*values: float) -> Tensor:
    """An image with one pixel per value."""
    return torch.tensor(values).view(-1, 1, 1, 1)


def rates(model: RewiredModel, split, batch_size: int = 100) -> list[tuple[float, float]]:
    return [
        (site.static, site.dynamic) for site in measure_dead_neurons(model, split, batch_size=batch_size, device=CPU)
    ]


def test_a_neuron_without_weights_is_dead_for_good_and_others_by_image(split_of):
    # By neuron: alive for x > 0; without weights and held below 0; without weights and held above 0; alive for x < 3.
    model = net(linear([[1.0], [0.0], [0.0], [-1.0]], [0.0, -1.0, 1.0, 3.0]), nn.ReLU())

    (site,) = measure_dead_neurons(model, split_of(pixels(-1.0, 2.0, 4.0, 5.0)), batch_size=3, device=CPU)

    assert (site.path, site.operator, site.neurons) == ("2", "relu", 4)
    assert site.static == pytest.approx(1 / 4)
    assert site.dynamic == pytest.approx((1 + 2) / (4 * 4))  # the first for one image, the last for two


def test_static_and_dynamic_rate_add_up_to_the_zeros_that_relu_gives(split_of):
    model = models.build("lenet5", channels=1, classes=10, image_size=28, seed=1).eval()
    with torch.no_grad():
        model.conv2.weight[3], model.conv2.bias[3] = 0.0, -0.1
        model.fc1.weight[:40], model.fc1.bias[:20], model.fc1.bias[20:40] = 0.0, -0.1, 0.1
    images = torch.randn(20, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    zeros = {}
    for name in ("relu1", "relu2", "relu3", "relu4"):
        model.get_submodule(name).register_forward_hook(
            lambda module, args, output, name=name: zeros.update({name: float((output == 0).float().mean())})
        )
    with torch.no_grad():
        model(images)

    sites = measure_dead_neurons(rewire(model), split_of(images), batch_size=7, device=CPU)

    assert {site.path: site.static + site.dynamic for site in sites} == pytest.approx(zeros)
    assert [site.static for site in sites] == pytest.approx([0, 1 / 16, 20 / 120, 0])
    assert [site.neurons for site in sites] == [6 * 28 * 28, 16 * 10 * 10, 120, 84]


def test_a_norm_between_weights_and_site_decides_whether_a_neuron_without_weights_is_dead(split_of):
    norm = nn.BatchNorm1d(3)
    norm.running_mean, norm.bias.data = torch.tensor([5.0, 5.0, 5.0]), torch.tensor([-1.0, 9.0, 9.0])
    # After the norm: below 0 for every image; 5 is below 9; above 0 for every image here.
    model = net(linear([[0.0], [0.0], [1.0]], [0.0, 0.0, 0.0]), norm, nn.ReLU())

    assert rates(model, split_of(pixels(1.0, 2.0))) == [(pytest.approx(1 / 3), 0.0)]


class Residual(nn.Module):
    """relu(first(x) + second(relu(x)))"""

    def __init__(self, first: list[float], second: list[float]) -> None:
        super().__init__()
        self.first, self.second = (linear([[weight] for weight in row], [-1.0, -1.0]) for row in (first, second))

    def forward(self, images: Tensor) -> Tensor:
        x = images.flatten(1)
        return (self.first(x) + self.second(x.relu())).relu()


def test_a_residual_sum_is_static_only_if_all_summands_are(split_of):
    model = rewire(Residual(first=[0.0, 0.0], second=[0.0, 1.0]))

    assert rates(model, split_of(pixels(1.0, 1.5))) == [(0.0, 0.0), (0.5, 0.5)]


def test_a_neuron_that_dead_neurons_feed_has_weights_and_counts_as_dynamic(split_of):
    model = net(linear([[0.0]], [-1.0]), nn.ReLU(), linear([[1.0]], [-1.0]), nn.ReLU())

    assert rates(model, split_of(pixels(1.0, 2.0))) == [(1.0, 0.0), (0.0, 1.0)]


def test_a_position_whose_weights_read_padding_alone_is_static(split_of):
    conv = nn.Conv2d(1, 1, 3, padding=1)
    conv.weight.data.zero_()
    conv.weight.data[0, 0, 0, 0], conv.bias.data[0] = 1.0, -1.0  # reads the pixel above and to the left
    model = rewire(nn.Sequential(conv, nn.ReLU()))
    images = torch.full((1, 1, 3, 3), 2.0)
    images[0, 0, 0, 0] = 0.5  # so that the centre is dead

    assert rates(model, split_of(images)) == [(pytest.approx(5 / 9), pytest.approx(1 / 9))]


def test_a_filter_without_weights_is_found_through_pooling_views_and_concatenation(split_of):
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Conv2d(1, 2, 1), nn.Conv2d(1, 2, 1)
            self.left.weight.data[:], self.right.weight.data[:] = 1.0, 1.0
            self.left.weight.data[0], self.left.bias.data[:], self.right.bias.data[:] = 0.0, -1.0, 0.0

        def forward(self, images: Tensor) -> Tensor:
            both = torch.cat([self.left(images), self.right(images)], dim=1)
            return torch.relu(nn.functional.avg_pool2d(both, 2).transpose(1, 3).flatten(1))

    images = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0)) + 1.0

    assert rates(rewire(Branches()), split_of(images)) == [(0.25, 0.0)]


@pytest.mark.parametrize(
    ("operator", "dead", "alive"),
    [
        ("relu", [-1.0, 0.0], [1e-6, 9.0]),
        ("relu6", [-1.0, 6.5], [0.1, 5.9]),
        ("hardswish", [-3.1, -9.0], [-2.9, 9.0]),
        ("identity", [], [-9.0, 0.0, 9.0]),
        ("tanh", [-4.2, 4.2], [-4.1, 0.0, 4.1]),  # 4 exp(-2 |x|)
        ("elu", [-6.95], [-6.85, 1.0]),  # exp(x)
        ("softplus", [-6.95], [-6.85, 9.0]),  # sigmoid(x)
        ("swish", [-9.0], [-8.9, 9.0]),  # -8 * 1.234e-4, -7.9 * 1.364e-4
        ("gelu", [-3.9], [-3.8, 9.0]),  # Phi(x) + x phi(x)
        ("symlog", [-1000.0, 1000.0], [-990.0, 0.0, 990.0]),  # 1 / (1 + |x|)
        ("symexp", [], [-20.0, 0.0, 20.0]),
    ],
)
def test_what_counts_as_dead_for_each_kind_of_operator(operator: str, dead: list[float], alive: list[float]):
    slopes = derivative(Activation(OPERATORS[operator]), torch.tensor(dead + alive)).abs()

    assert (slopes <= FLAT).tolist() == [True] * len(dead) + [False] * len(alive)


def test_the_scalars_of_a_site_are_part_of_its_slope():
    activation = Activation(OPERATORS["relu"], values={"alpha": 0.5, "beta": -3.0})

    assert derivative(activation, torch.tensor([-1.0, 1.0])).tolist() == [-1.5, 0.0]


@pytest.mark.parametrize("operator", OPERATORS)
def test_derivatives_equal_difference_quotients(operator: str):
    x = torch.tensor([-2.2, -0.7, 0.4, 1.9], dtype=torch.float64)
    activation = Activation(OPERATORS[operator]).double()

    quotients = (activation(x + 1e-6) - activation(x - 1e-6)) / 2e-6

    assert torch.allclose(derivative(activation, x), quotients.detach(), atol=1e-7)


def test_the_network_stays_as_it_was_and_other_operators_are_named(split_of):
    images = torch.randn(5, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    model = rewire(models.build("lenet5", channels=1, classes=10, image_size=28, seed=0), {"relu2": "acon"})
    model.train()
    model.pool1.eval()
    state, before = {name: value.clone() for name, value in model.state_dict().items()}, model(images)

    sites = measure_dead_neurons(model, split_of(images), batch_size=2, device=CPU)

    assert [site.operator for site in sites] == ["relu", "acon", "relu", "relu"]
    assert (model.training, model.pool1.training, model.pool2.training) == (True, False, True)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(model(images), before)


def test_a_pass_made_for_something_else_can_be_counted(split_of):
    images = torch.randn(6, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    model = rewire(models.build("lenet5", channels=1, classes=10, image_size=28, seed=0)).eval()

    with counting_dead_neurons(model, images[:1]) as count:
        model(images[:4]).sum().backward()
        model(images[4:])
    model(images[:1])  # no longer counted

    assert count.sites() == measure_dead_neurons(model, split_of(images), batch_size=3, device=CPU)
