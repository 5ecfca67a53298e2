import copy

import pytest
import torch
from torch import nn

from safs.activations.surgery import rewire


class Net(nn.Module):
    """A network with a parameter, a saved and an unsaved buffer, and children."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.register_buffer("offset", torch.tensor(1.0))
        self.register_buffer("scratch", torch.tensor(0.5), persistent=False)
        self.body = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.ReLU(inplace=True), nn.Dropout(0.5))

    def forward(self, x, *, shift: float = 0.0):
        return self.body(x) * self.scale + self.offset + self.scratch + shift


def test_the_state_has_the_names_of_the_model():
    model = Net()

    rewired = rewire(model, {"body.2": "acon"})

    assert list(rewired.model_state()) == list(model.state_dict())
    assert set(rewired.state_dict()) - set(model.state_dict()) == {
        f"_safs_activations.0.{name}" for name in ("p1", "p2", "beta")
    }
    assert {name for name, _ in rewired.named_buffers()} == {name for name, _ in model.named_buffers()}


def test_parameters_are_shared_with_the_model():
    model = Net()
    rewired = rewire(model)

    assert all(one is other for one, other in zip(model.parameters(), rewired.parameters(), strict=False))


def test_activation_parameters_are_the_scalars_only():
    model = Net()
    rewired = rewire(model, {"body.2": "srs"})

    scalars = rewired.activation_parameters()

    assert {id(parameter) for parameter in rewired.parameters()} == {
        id(parameter) for parameter in (*model.parameters(), *scalars)
    }
    assert len(scalars) == 2


def test_loading_a_model_state_keeps_the_scalars():
    rewired, other = rewire(Net(), scalars={"body.2": {"alpha": 3.0}}), Net()

    rewired.load_model_state(other.state_dict())

    assert torch.equal(rewired.model_state()["body.0.weight"], other.body[0].weight)
    assert rewired.scalars() == {"body.2": {"alpha": 3.0, "beta": 1.0}}


def test_a_model_state_that_does_not_fit_is_refused():
    with pytest.raises(RuntimeError, match=r"Unexpected key.*bias2"):
        rewire(Net()).load_model_state({**Net().state_dict(), "bias2": torch.zeros(())})


def test_the_state_dict_includes_learned_scalars():
    learned = rewire(Net(), scalars={"body.2": {"alpha": 3.0, "beta": 0.5}}, learnable=True)
    fresh = rewire(Net(), learnable=True)

    fresh.load_state_dict(learned.state_dict())

    assert fresh.scalars() == {"body.2": {"alpha": 3.0, "beta": 0.5}}


def test_switching_modes_gives_the_outputs_of_the_model():
    model, x = Net(), torch.randn(16, 3)
    copied = rewire(copy.deepcopy(model))

    for training in (True, False, True):
        torch.manual_seed(0)
        expected = model.train(training)(x)
        torch.manual_seed(0)
        assert torch.equal(copied.train(training)(x), expected)
        assert copied.body.training == training


def test_a_rewired_model_starts_in_the_models_mode():
    assert rewire(Net().eval()).training is False
    assert rewire(Net().train()).training is True


def test_keyword_arguments_pass_through():
    rewired, x = rewire(Net().eval()), torch.randn(4, 3)

    torch.testing.assert_close(rewired(x, shift=2.0), rewired(x) + 2)


def test_a_deep_copy_is_independent():
    rewired = rewire(Net().eval(), learnable=True)
    x, copied = torch.randn(4, 3), copy.deepcopy(rewired)
    before = rewired(x)

    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.add_(1)

    assert torch.equal(rewired(x), before)
    assert not torch.equal(copied(x), before)


def test_dtype_moves_with_the_model():
    rewired = rewire(Net(), {"body.2": "symexp"}).to(torch.float64)

    assert rewired(torch.randn(4, 3, dtype=torch.float64)).dtype == torch.float64
