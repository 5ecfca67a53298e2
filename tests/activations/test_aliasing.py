"""In-place activations: the rewired model computes what the original computes."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from safs.activations.surgery import find_sites, rewire


class InPlace(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.dropout = nn.Dropout(0.5)
        self.inplace_dropout = nn.Dropout(0.5, inplace=True)
        self.act = nn.ReLU(inplace=True)
        self.function = function

    def forward(self, x):
        return self.function(self, self.linear(x))


def input_is_read_again(model, x):
    y = F.relu(x, inplace=True)
    return x * 2 + y


def input_is_a_residual(model, x):
    y = model.linear(model.act(x))
    return x + y


def input_was_read_before(model, x):
    before = x * 2
    return before + model.act(x)


def written_through_a_view(model, x):
    F.relu_(x.view(-1))
    return x


def written_through_a_slice(model, x):
    x[:, :2].relu_()
    return x.sum(0)


def read_through_an_older_view(model, x):
    view = x.view(-1)
    model.act(x)
    return view + x.flatten()


def read_through_dropout(model, x):
    y = F.relu_(model.dropout(x))
    return x + y


def output_is_added_to(model, x):
    y = F.gelu(x)
    y += x
    return y


def output_is_dropped_out(model, x):
    return model.inplace_dropout(F.hardswish(x)).flatten(1) * 2


def view_of_the_output_is_added_to(model, x):
    y = F.gelu(x).flatten(1)
    y.mul_(3)
    return y


def input_is_added_to_later(model, x):
    x = x * 1
    y = F.relu(x)
    x += 1
    return x + y


def two_in_place_calls(model, x):
    F.hardtanh_(x)
    torch.relu_(x)
    return x


FORWARDS = [
    input_is_read_again,
    input_is_a_residual,
    input_was_read_before,
    written_through_a_view,
    written_through_a_slice,
    read_through_an_older_view,
    read_through_dropout,
    output_is_added_to,
    output_is_dropped_out,
    view_of_the_output_is_added_to,
    input_is_added_to_later,
]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("function", FORWARDS)
def test_original_operators_give_the_values_and_gradients_of_the_model(function, training):
    model = InPlace(function).train(training)
    rewired, x = rewire(model), torch.randn(8, 4)

    torch.manual_seed(3)
    expected = model(x)
    (expected_gradient,) = torch.autograd.grad(expected.sum(), model.linear.weight)
    torch.manual_seed(3)
    found = rewired(x)
    (gradient,) = torch.autograd.grad(found.sum(), model.linear.weight)

    assert torch.equal(found, expected)
    torch.testing.assert_close(gradient, expected_gradient)


@pytest.mark.parametrize("operator", ["tanh", "gelu", "identity"])
@pytest.mark.parametrize("function", FORWARDS)
def test_other_operators_have_gradients_although_the_model_overwrites_tensors(function, operator):
    model = InPlace(function).train()
    rewired = rewire(model, {site.path: operator for site in find_sites(model)}, learnable=True)

    rewired(torch.randn(8, 4)).square().sum().backward()

    assert model.linear.weight.grad.isfinite().all()


def test_later_readers_of_the_input_read_the_output_of_a_replaced_in_place_call():
    model, x = InPlace(input_is_read_again), torch.randn(8, 4)

    rewired = rewire(model, {"relu": "tanh"})

    torch.testing.assert_close(rewired(x), 3 * torch.tanh(model.linear(x)))


def test_two_in_place_calls_on_one_tensor_apply_in_order():
    model, x = InPlace(two_in_place_calls), torch.randn(8, 4)

    rewired = rewire(model, {"hardtanh": "relu", "relu": "tanh"})

    torch.testing.assert_close(rewired(x), torch.tanh(F.relu(model.linear(x))))


def test_a_replaced_in_place_call_on_a_view_changes_its_base():
    model, x = InPlace(written_through_a_view), torch.randn(8, 4)

    rewired = rewire(model, {"relu": "tanh"})

    torch.testing.assert_close(rewired(x), torch.tanh(model.linear(x)))


def test_a_later_in_place_addition_does_not_change_the_output_of_identity():
    model, x = InPlace(input_is_added_to_later), torch.randn(8, 4)

    rewired = rewire(model, {"relu": "identity"})

    torch.testing.assert_close(rewired(x), 2 * model.linear(x) + 1)
