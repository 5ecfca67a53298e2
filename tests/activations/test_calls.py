import pytest
import torch
import torch.nn.functional as F
from torch import nn

from safs.activations.surgery import find_sites, rewire

FUNCTIONS = {
    "relu": [F.relu, F.relu_, torch.relu, torch.relu_, lambda x: x.relu(), lambda x: x.relu_()],
    "relu6": [F.relu6, lambda x: F.relu6(x, True)],
    "silu": [F.silu, lambda x: F.silu(input=x, inplace=True)],
    "gelu": [F.gelu, lambda x: F.gelu(x, approximate="none")],
    "gelu(tanh)": [lambda x: F.gelu(x, approximate="tanh")],
    "hardswish": [F.hardswish],
    "hardsigmoid": [F.hardsigmoid],
    "sigmoid": [F.sigmoid, torch.sigmoid, torch.special.expit, lambda x: x.sigmoid(), lambda x: x.sigmoid_()],
    "tanh": [F.tanh, torch.tanh, lambda x: x.tanh_()],
    "mish": [F.mish],
    "elu": [F.elu, lambda x: F.elu_(x, 1.0)],
    "elu(0.5)": [lambda x: F.elu(x, 0.5), lambda x: F.elu(x, alpha=0.5, inplace=True)],
    "celu(2)": [lambda x: torch.celu(x, 2.0)],
    "selu": [F.selu, torch.selu_],
    "leaky_relu": [F.leaky_relu],
    "leaky_relu(0.2)": [lambda x: F.leaky_relu(x, 0.2), lambda x: F.leaky_relu_(x, 0.2)],
    "hardtanh(0,6)": [lambda x: F.hardtanh(x, 0, 6)],
    "softplus": [F.softplus],
    "softplus(2,20)": [lambda x: F.softplus(x, beta=2)],
    "logsigmoid": [F.logsigmoid],
    "softsign": [F.softsign],
    "tanhshrink": [F.tanhshrink],
    "hardshrink": [F.hardshrink],
    "softshrink(0.1)": [lambda x: F.softshrink(x, 0.1)],
}
MODULES = {
    "relu": nn.ReLU(inplace=True),
    "relu6": nn.ReLU6(),
    "silu": nn.SiLU(inplace=True),
    "gelu(tanh)": nn.GELU("tanh"),
    "hardswish": nn.Hardswish(),
    "hardsigmoid": nn.Hardsigmoid(),
    "sigmoid": nn.Sigmoid(),
    "tanh": nn.Tanh(),
    "mish": nn.Mish(),
    "elu(0.5)": nn.ELU(0.5),
    "selu": nn.SELU(),
    "leaky_relu(0.2)": nn.LeakyReLU(0.2, inplace=True),
    "hardtanh": nn.Hardtanh(),
    "softplus(2,20)": nn.Softplus(beta=2),
    "logsigmoid": nn.LogSigmoid(),
    "softsign": nn.Softsign(),
}


class Calls(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x * 1)


@pytest.mark.parametrize(
    ("operator", "function"),
    [(operator, function) for operator, functions in FUNCTIONS.items() for function in functions],
)
def test_functions_and_methods_are_sites_with_their_settings(operator, function):
    model, x = Calls(function), torch.linspace(-8, 8, 33)

    sites = find_sites(model)

    assert [site.original for site in sites] == [operator]
    assert torch.equal(rewire(model)(x), model(x))


@pytest.mark.parametrize(("operator", "module"), MODULES.items())
def test_modules_are_sites_with_their_settings(operator, module):
    model, x = nn.Sequential(nn.Identity(), module), torch.linspace(-8, 8, 33)

    sites = find_sites(model)

    assert [(site.path, site.original) for site in sites] == [("1", operator)]
    assert torch.equal(rewire(model)(x.clone()), model(x.clone()))


@pytest.mark.parametrize(
    "module", [nn.PReLU(), nn.RReLU(), nn.GLU(), nn.Softmax(-1), nn.TransformerEncoderLayer(4, 2, 8)]
)
def test_modules_that_learn_draw_or_mix_are_not_sites(module):
    assert find_sites(nn.Sequential(module)) == ()
