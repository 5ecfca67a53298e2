import copy

import pytest
import torch

from safs.activations.module import Activation
from safs.activations.operators import OPERATORS
from safs.errors import UnknownNameError


def test_alpha_and_beta_start_fixed_at_one():
    activation = Activation(OPERATORS["gelu"])

    assert activation.scalars() == {"alpha": 1.0, "beta": 1.0}
    assert not any(parameter.requires_grad for parameter in activation.parameters())
    assert all(parameter.shape == () for parameter in activation.parameters())


def test_learnable_scalars_get_gradients():
    activation = Activation(OPERATORS["tanh"], learnable=True)

    activation(torch.tensor([0.3, -2.0])).square().sum().backward()

    assert all(parameter.grad != 0 for parameter in activation.parameters())


@pytest.mark.parametrize(("name", "count"), [("acon", 3), ("srs", 2), ("tanhsoft1", 1)])
def test_operators_with_scalars_that_are_always_learned(name, count):
    activation = Activation(OPERATORS[name])

    assert [parameter.requires_grad for parameter in activation.parameters()] == [True] * count


def test_acon_starts_as_swish_so_that_its_two_slopes_learn_apart():
    activation = Activation(OPERATORS["acon"])
    x = torch.tensor([0.3, -2.0])

    output = activation(x)
    output.square().sum().backward()

    assert activation.scalars() == {"p1": 1.0, "p2": 0.0, "beta": 1.0}
    assert output.tolist() == pytest.approx((x * torch.sigmoid(x)).tolist())
    assert activation.p1.grad != activation.p2.grad
    assert activation.beta.grad != 0


def test_fixed_scalars_other_than_one_are_applied():
    activation = Activation(OPERATORS["relu"], values={"alpha": 2.0, "beta": 3.0})

    assert activation(torch.tensor(0.5)).item() == 3.0


def test_scalars_loaded_into_a_fixed_activation_are_applied():
    activation = Activation(OPERATORS["relu"])

    activation.load_state_dict({"alpha": torch.tensor(2.0), "beta": torch.tensor(3.0)})

    assert activation(torch.tensor(0.5)).item() == 3.0


def test_a_scalar_that_the_operator_lacks_is_refused():
    with pytest.raises(UnknownNameError, match=r"unknown scalar of operator gelu 'gamma'.*Known: alpha, beta"):
        Activation(OPERATORS["gelu"], values={"gamma": 1.0})


def test_a_deep_copy_has_its_own_scalars():
    activation = Activation(OPERATORS["relu"], learnable=True)
    copied = copy.deepcopy(activation)

    with torch.no_grad():
        copied.alpha.fill_(5.0)

    assert activation.scalars()["alpha"] == 1.0
    assert copied(torch.tensor(1.0)).item() == 5.0
