import pytest
import torch
import torch.nn.functional as F
from torch import nn

from safs.activations.dyrelu import DyReLU, dynamic_relus, site_channels
from safs.activations.surgery import rewire

SHAPES = [(5, 8), (5, 8, 6), (5, 8, 3, 4)]


class Net(nn.Module):
    """A convolution and a linear layer with ReLUs of 8 and 6 channels, and a tanh."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(8, 6)
        self.classifier = nn.Linear(6, 3)

    def forward(self, x):
        x = self.relu(self.norm(self.conv(x))).mean((2, 3))
        return self.classifier(F.relu(self.fc(x))).tanh()


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", SHAPES)
def test_it_tends_to_relu_as_beta_tends_to_zero(shape):
    torch.manual_seed(0)
    relu, x = DyReLU(8), random(*shape)
    differences = []

    for beta in (1.0, 1e-3, 1e-7):
        relu.beta = beta
        differences.append((relu(x) - F.relu(x)).abs().max().item())

    assert differences[0] > 0.05  # After initialisation it is another function.
    assert differences[1] < 0.01 * differences[0]
    assert differences[2] <= 1e-6


@pytest.mark.parametrize("shape", SHAPES)
def test_at_beta_zero_it_equals_relu_and_its_parameters_have_no_gradient(shape):
    relu, x = DyReLU(8, beta=0.0), random(*shape).requires_grad_()

    y = relu(x)
    y.sum().backward()

    assert torch.equal(y, F.relu(x))
    assert torch.equal(x.grad, (x > 0).float())
    assert all(parameter.grad is None for parameter in relu.parameters())


@pytest.mark.parametrize("shape", SHAPES)
def test_with_a_second_layer_of_zeros_it_equals_relu(shape):
    relu, x = DyReLU(8), random(*shape)
    nn.init.zeros_(relu.fc2.weight)
    nn.init.zeros_(relu.fc2.bias)

    assert torch.equal(relu(x), F.relu(x))


def test_values_equal_those_worked_by_hand():
    relu = DyReLU(1)
    with torch.no_grad():
        relu.fc1.weight.fill_(1.0)
        relu.fc1.bias.fill_(0.0)
        relu.fc2.weight.copy_(torch.tensor([[1.0], [-1.0], [2.0], [0.0]]))
        relu.fc2.bias.fill_(0.0)
    x = torch.tensor([[[[1.0, -3.0], [5.0, 1.0]]]])  # Its mean is 1.

    y = relu(x)

    # theta = 2 sigmoid(u) - 1 = tanh(u / 2), for u = 1, -1, 2, 0.
    a1, a2, b1 = 1 + 0.46211716, -0.46211716, 0.76159416 / 2
    expected = torch.tensor([[[[a1 + b1, -3 * a2], [5 * a1 + b1, a1 + b1]]]])
    torch.testing.assert_close(y, expected)
    relu.beta = 0.5
    half = torch.tensor([[[[1 + 0.23105858 + b1 / 2, 3 * 0.23105858], [0, 0], [0, 0]]]])[..., 0, :]
    torch.testing.assert_close(relu(x)[..., 0, :], half)


def test_coefficients_depend_on_the_sample_only():
    torch.manual_seed(0)
    relu, x = DyReLU(8), random(2, 8, 3, 3)

    together = relu(x)

    torch.testing.assert_close(together, torch.cat([relu(x[:1]), relu(x[1:])]))
    changed = relu(torch.cat([x[:1], x[1:] + 1]))
    assert torch.equal(changed[0], together[0])


def test_site_channels_are_found_and_the_model_is_unchanged():
    model = Net()
    model.norm.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}

    channels = site_channels(model, torch.zeros(1, 1, 6, 6))

    assert channels == {"relu": 8, "relu#2": 6, "tanh": 3}
    assert model.training
    assert not model.norm.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_dyrelus_at_every_relu_leave_the_model_state_unchanged():
    model, x = Net().eval(), random(4, 1, 6, 6)
    state = torch.random.get_rng_state()
    relus = dynamic_relus(model, x[:1], seed=3)

    rewired = rewire(model, modules=relus)

    assert torch.equal(torch.random.get_rng_state(), state)
    assert [relu.fc1.in_features for relu in relus.values()] == [8, 6]
    assert list(rewired.model_state()) == list(model.state_dict())
    assert {id(parameter) for parameter in rewired.activation_parameters()} >= {
        id(parameter) for relu in relus.values() for parameter in relu.parameters()
    }
    assert not torch.allclose(rewired(x), model(x), atol=1e-3)
    for relu in relus.values():
        relu.beta = 0.0
    assert torch.equal(rewired(x), model(x))


def test_the_seed_decides_the_weights():
    model, example = Net(), torch.zeros(1, 1, 6, 6)

    one, same, other = (dynamic_relus(model, example, seed) for seed in (0, 0, 1))

    for path, relu in one.items():
        assert torch.equal(relu.fc1.weight, same[path].fc1.weight)
        assert not torch.equal(relu.fc1.weight, other[path].fc1.weight)
