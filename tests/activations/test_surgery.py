import pytest
import torch
import torch.nn.functional as F
from torch import nn

from safs.activations.operators import OPERATORS
from safs.activations.surgery import Site, candidate_operators, find_sites, rewire
from safs.errors import SurgeryError, UnknownNameError


class Mixed(nn.Module):
    """A network with a shared module, a function, a method and an activation inside a child."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.act = nn.ReLU()
        self.block = nn.Sequential(nn.Linear(4, 4), nn.LeakyReLU(0.2))

    def forward(self, x):
        x = self.act(self.first(x))
        x = self.act(x - 1) + F.gelu(x)
        return self.block(x).tanh()


class OnlyTrains(nn.Module):
    """A network with two calls of one name in train mode, of which eval mode makes one."""

    def forward(self, x):
        if self.training:
            x = x + F.relu(x - 1)
        return F.relu(x + 1)


class TwoBranches(nn.Module):
    """A network whose only site is on another line in each mode."""

    def forward(self, x):
        if self.training:
            return F.relu(x + 1)
        return F.relu(x + 2)


def test_sites_are_the_calls_in_order_with_unique_paths():
    assert find_sites(Mixed()) == (
        Site("act", "relu"),
        Site("act#2", "relu"),
        Site("gelu", "gelu"),
        Site("block.1", "leaky_relu(0.2)"),
        Site("tanh", "tanh"),
    )


def test_a_module_in_two_parents_is_two_sites():
    shared = nn.ReLU()
    model = nn.Sequential(nn.Sequential(nn.Linear(2, 2), shared), nn.Sequential(nn.Linear(2, 2), shared))

    assert [site.path for site in find_sites(model)] == ["0.1", "1.1"]


def test_an_assignment_replaces_only_the_named_calls():
    model, x = Mixed(), torch.randn(3, 4)

    rewired = rewire(model, {"act#2": "tanh", "block.1": "symlog"})

    hidden = F.relu(model.first(x))
    hidden = model.block[0](torch.tanh(hidden - 1) + F.gelu(hidden))
    expected = torch.tanh(hidden.sign() * torch.log1p(hidden.abs()))
    torch.testing.assert_close(rewired(x), expected)
    assert [activation.operator.name for activation in rewired.activations.values()] == [
        "relu",
        "tanh",
        "gelu",
        "symlog",
        "tanh",
    ]


def test_an_operator_of_the_model_can_be_assigned_to_another_site():
    model, x = Mixed(), torch.randn(3, 4)

    rewired = rewire(model, {"tanh": "leaky_relu(0.2)"})

    expected = F.leaky_relu(torch.atanh(model(x)), 0.2)
    torch.testing.assert_close(rewired(x), expected, rtol=1e-4, atol=1e-5)


def test_calls_that_only_train_mode_makes_are_unchanged():
    model, x = OnlyTrains(), torch.tensor([-3.0, 0.5, 2.0])

    rewired = rewire(model, {"relu": "tanh"})

    torch.testing.assert_close(rewired.train()(x), torch.tanh(x + F.relu(x - 1) + 1))
    torch.testing.assert_close(rewired.eval()(x), torch.tanh(x + 1))


def test_calls_on_different_lines_in_each_mode_are_one_site():
    rewired, x = rewire(TwoBranches(), {"relu": "tanh"}), torch.tensor([-3.0, 0.5])

    torch.testing.assert_close(rewired.train()(x), torch.tanh(x + 1))
    torch.testing.assert_close(rewired.eval()(x), torch.tanh(x + 2))


def test_learnable_gives_every_site_alpha_and_beta():
    rewired = rewire(Mixed(), {"act": "acon"}, learnable=True)

    assert all(parameter.requires_grad for parameter in rewired.activation_parameters())
    assert rewired.scalars()["act"] == {"p1": 1.0, "p2": 0.0, "beta": 1.0}
    assert rewired.scalars()["block.1"] == {"alpha": 1.0, "beta": 1.0}


def test_without_learnable_only_always_learned_scalars_learn():
    rewired = rewire(Mixed(), {"act": "acon", "gelu": "srs"})

    learning = {
        path: [parameter.requires_grad for parameter in activation.parameters()]
        for path, activation in rewired.activations.items()
    }
    assert learning == {
        "act": [True] * 3,
        "act#2": [False] * 2,
        "gelu": [True] * 2,
        "block.1": [False] * 2,
        "tanh": [False] * 2,
    }


def test_given_scalars_are_the_initial_values():
    rewired = rewire(Mixed(), scalars={"tanh": {"alpha": 3.0}})

    assert rewired.scalars()["tanh"] == {"alpha": 3.0, "beta": 1.0}
    x = torch.randn(3, 4)
    torch.testing.assert_close(rewired(x), 3 * Mixed.forward(rewired, x))


def test_a_given_module_is_called_at_its_site_and_is_not_in_the_model_state():
    model, x = Mixed(), torch.randn(3, 4)
    module = nn.PReLU(4, init=0.5)

    rewired = rewire(model, {"tanh": "identity"}, modules={"act": module})

    hidden = module(model.first(x))
    expected = model.block(F.relu(hidden - 1) + F.gelu(hidden))
    torch.testing.assert_close(rewired(x), expected)
    assert rewired.activations["act"] is module
    assert module.weight in set(rewired.parameters())
    assert list(rewired.model_state()) == list(model.state_dict())
    assert "act" not in rewired.scalars()


def test_candidates_start_with_the_models_operators_and_have_no_duplicates():
    sites = find_sites(Mixed())

    candidates = candidate_operators(sites)

    assert candidates[:4] == ("relu", "gelu", "leaky_relu(0.2)", "tanh")
    assert set(candidates) == {*OPERATORS, "leaky_relu(0.2)"}
    assert len(candidates) == len(OPERATORS) + 1
    assert candidate_operators(sites, ["swish", "tanh"]) == ("relu", "gelu", "leaky_relu(0.2)", "tanh", "swish")


def test_errors_for_unknown_candidates_sites_operators_and_scalars_name_them():
    sites = find_sites(Mixed())

    with pytest.raises(UnknownNameError, match=r"unknown operator 'sqish'. Did you mean 'swish'") as caught:
        candidate_operators(sites, ["sqish"])
    assert caught.value.field == "activations.operators"
    with pytest.raises(UnknownNameError, match="unknown activation site 'act#3'"):
        rewire(Mixed(), {"act#3": "relu"})
    with pytest.raises(UnknownNameError, match="unknown operator 'silu'"):
        rewire(Mixed(), {"act": "silu"})
    with pytest.raises(UnknownNameError, match="unknown activation site 'bct'"):
        rewire(Mixed(), scalars={"bct": {"alpha": 1.0}})
    with pytest.raises(UnknownNameError, match="unknown activation site 'block'"):
        rewire(Mixed(), modules={"block": nn.PReLU()})
    with pytest.raises(UnknownNameError, match="unknown scalar of operator relu 'p1'"):
        rewire(Mixed(), scalars={"act": {"p1": 1.0}})


def test_a_member_with_a_reserved_name_is_refused():
    model = nn.Sequential()
    model.add_module("activations", nn.ReLU())

    with pytest.raises(SurgeryError, match="has a member named 'activations'"):
        rewire(model)
