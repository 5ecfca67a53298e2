import math

import pytest
import torch
import torch.nn.functional as F

from safs.activations.operators import OPERATORS, acon, srs, symexp, symlog

VALUES_AT_ONES = {  # Values at x = -1, 0.5, 2 with all scalars 1.
    "relu6": (0, 0.5, 2),
    "hardswish": (-0.33333, 0.29167, 1.66667),
    "swish": (-0.26894, 0.31123, 1.76159),
    "tanhsoft1": (-0.23858, 0.45014, 2.05042),
    "acon": (-1, 0.5, 2),
    "gelu": (-0.15866, 0.34573, 1.9545),
    "srs": (-0.58198, 0.45186, 0.93662),
    "elu": (-0.63212, 0.5, 2),
    "tanh": (-0.76159, 0.46212, 0.96403),
    "softplus": (0.31326, 0.97408, 2.12693),
    "logsigmoid": (-1.31326, -0.47408, -0.12693),
    "symlog": (-0.69315, 0.40547, 1.09861),
    "symexp": (-1.71828, 0.64872, 6.38906),
    "relu": (0, 0.5, 2),
    "identity": (-1, 0.5, 2),
}
VALUES_SCALED = {  # Values at x = 0.5 with alpha = 2, beta = 3, worked by hand from f(1.5).
    "relu6": 3.0,
    "hardswish": 2 * 1.5 * 4.5 / 6,
    "swish": 2 * 0.5 / (1 + math.exp(-1.5)),
    "gelu": 2 * 1.5 * 0.5 * (1 + math.erf(1.5 / math.sqrt(2))),
    "elu": 3.0,
    "tanh": 2 * math.tanh(1.5),
    "softplus": 2 * math.log(1 + math.exp(1.5)),
    "logsigmoid": -2 * math.log(1 + math.exp(-1.5)),
    "symlog": 2 * math.log(2.5),
    "symexp": 2 * (math.exp(1.5) - 1),
    "srs": 0.5 / (0.5 / 2 + math.exp(-0.5 / 3)),
    "relu": 3.0,
    "identity": 3.0,
}


def ones(name: str) -> list[torch.Tensor]:
    return [torch.ones(()) for _ in OPERATORS[name].scalars]


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_satisfies_the_registry_contract(name):
    operator = OPERATORS[name]
    x = torch.linspace(-20, 20, 401).reshape(1, 401, 1).requires_grad_()
    scalars = [one.requires_grad_() for one in ones(name)]

    y = operator.function(x, *scalars)
    gradients = torch.autograd.grad(y.sum(), [x, *scalars])

    assert operator.name == name
    assert y.shape == x.shape
    assert y.dtype == x.dtype
    assert y.isfinite().all()
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert operator.formula
    assert operator.summary
    assert operator.source
    assert (operator.plain is None) == operator.always_trainable
    if operator.plain is not None:
        torch.testing.assert_close(operator.plain(x), y)


def test_the_registry_holds_the_thirteen_candidates_with_relu_and_identity():
    assert set(OPERATORS) == set(VALUES_AT_ONES)


@pytest.mark.parametrize(("name", "expected"), VALUES_AT_ONES.items())
def test_values_with_all_scalars_one_equal_the_published_table(name, expected):
    y = OPERATORS[name].function(torch.tensor([-1.0, 0.5, 2.0]), *ones(name))

    torch.testing.assert_close(y, torch.tensor(expected, dtype=torch.float32), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("name", "expected"), VALUES_SCALED.items())
def test_alpha_scales_the_output_and_beta_the_input(name, expected):
    y = OPERATORS[name].function(torch.tensor(0.5), torch.tensor(2.0), torch.tensor(3.0))

    assert y.item() == pytest.approx(expected, abs=1e-5)


def test_acon_interpolates_between_its_two_slopes():
    y = acon(torch.tensor(2.0), torch.tensor(2.0), torch.tensor(0.5), torch.tensor(1.0))

    assert y.item() == pytest.approx(3 / (1 + math.exp(-3)) + 1, abs=1e-5)  # (p1 - p2) x = 3, p2 x = 1


def test_the_scalar_of_tanhsoft1_scales_the_input_of_tanh():
    y = OPERATORS["tanhsoft1"].function(torch.tensor(0.5), torch.tensor(3.0))

    assert y.item() == pytest.approx(math.tanh(1.5) * math.log(1 + math.exp(0.5)), abs=1e-5)


@pytest.mark.parametrize("function", [symlog, symexp])
def test_odd_operators_have_derivative_one_at_exactly_zero(function):
    x = torch.tensor([0.0, -0.0, 1e-30, -1e-30], requires_grad=True)

    (gradient,) = torch.autograd.grad(function(x).sum(), x)

    assert gradient.tolist() == [1, 1, 1, 1]


def test_symexp_continues_as_its_tangent_beyond_ten():
    x = torch.tensor([-12.0, 10.0, 12.0, 1e6], requires_grad=True)

    y = symexp(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)

    joint = math.exp(10)
    expected = torch.tensor([1 - 3 * joint, joint - 1, 3 * joint - 1, joint * (1e6 - 9) - 1])
    torch.testing.assert_close(y.detach(), expected)
    torch.testing.assert_close(gradient, torch.full((4,), joint))


def test_srs_has_finite_gradients_for_large_negative_inputs():
    x = torch.tensor([-1e4, -200.0, -60.0, 1e4], requires_grad=True)
    scalars = [torch.ones((), requires_grad=True), torch.ones((), requires_grad=True)]

    gradients = torch.autograd.grad(srs(x, *scalars).sum(), [x, *scalars])

    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("name", OPERATORS)
def test_gradients_equal_finite_differences(name):
    x = torch.tensor([-12.3, -3.7, -0.6, 0.4, 1.7, 5.3, 11.9], dtype=torch.float64, requires_grad=True)
    scalars = [torch.tensor(start, dtype=torch.float64, requires_grad=True) for start in (1.3, 0.7, 1.1)]

    assert torch.autograd.gradcheck(OPERATORS[name].function, (x, *scalars[: len(OPERATORS[name].scalars)]))


def test_swish_with_all_scalars_one_equals_silu_exactly():
    x = torch.linspace(-20, 20, 401)

    assert torch.equal(OPERATORS["swish"].plain(x), F.silu(x))
