import inspect
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torchvision
from torch import nn

from safs.activations.surgery import find_sites, rewire
from safs.activations.symbolic_trace import trace
from safs.errors import SurgeryError


class Branches(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x.relu()
        return x


class Draws(nn.Module):
    def forward(self, x):
        return (x * torch.rand(())).relu()


class DrawsLike(nn.Module):
    def forward(self, x):
        return (x * torch.rand_like(x) + x.new_empty(8).uniform_()).relu()


class Positions(nn.Module):
    """A network that creates constants and updates a running mean in its forward."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(3))
        self.linear = nn.Linear(3, 3)

    def forward(self, x):
        if self.training:
            self.mean.mul_(0.5).add_(x.detach().mean(0), alpha=0.5)
        x = (self.linear(x) - self.mean + torch.arange(3.0)).relu()
        return x * torch.tensor([1.0, 2.0, 3.0])


def test_the_error_for_a_model_that_cannot_be_traced_has_file_and_line():
    lines, start = inspect.getsourcelines(Branches.forward)
    line = start + next(number for number, text in enumerate(lines) if "if x.sum()" in text)

    with pytest.raises(
        SurgeryError, match=rf"model Branches .* stopped at .*test_symbolic_trace.py:{line}: if x.sum\(\) > 0:"
    ):
        find_sites(nn.Sequential(Branches()).get_submodule("0"))


def test_the_error_names_the_models_line_inside_a_container():
    with pytest.raises(
        SurgeryError, match=r"model Sequential .* stopped at .*test_symbolic_trace.py:\d+: if x.sum\(\) > 0:"
    ):
        rewire(nn.Sequential(nn.Linear(2, 2), Branches()))


def test_the_error_names_lines_of_model_libraries():
    with torch.device("meta"):
        model = torchvision.models.detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None)

    with pytest.raises(SurgeryError, match=r"model SSD .* stopped at .*torchvision/models/detection/.*\.py:\d+"):
        find_sites(model)


def test_random_numbers_independent_of_the_input_are_refused():
    with pytest.raises(SurgeryError, match=r"model Draws .* stopped at .*torch.rand.*same in every call"):
        find_sites(Draws())


def test_random_numbers_like_the_input_stay_random():
    rewired, x = rewire(DrawsLike()), torch.ones(8)

    assert not torch.equal(rewired(x), rewired(x))


@pytest.mark.parametrize("model", [Positions(), Branches()])
def test_tracing_leaves_modes_and_attributes_unchanged(model):
    parent = nn.Sequential(nn.BatchNorm1d(3).eval(), model)
    attributes = [set(vars(module)) for module in parent.modules()]

    for training in (False, True):
        try:
            trace(parent, training=training)
        except SurgeryError:
            assert isinstance(model, Branches)

    assert [module.training for module in parent.modules()][:3] == [True, False, True]
    assert [set(vars(module)) for module in parent.modules()] == attributes


def test_constants_that_forward_makes_move_with_the_model():
    rewired = rewire(Positions())

    rewired.to("meta")

    assert rewired.eval()(torch.randn(2, 3, device="meta")).device.type == "meta"
    assert rewired.train()(torch.randn(2, 3, device="meta")).device.type == "meta"


def test_constants_are_not_in_the_model_state():
    rewired = rewire(Positions())

    assert list(rewired.model_state()) == list(Positions().state_dict())


def test_buffers_that_forward_updates_are_updated():
    model, x = Positions(), torch.randn(4, 3)

    rewired = rewire(model).train()
    rewired(x)

    torch.testing.assert_close(model.mean, x.mean(0) / 2)
    rewired.eval()(x)
    torch.testing.assert_close(model.mean, x.mean(0) / 2)


def test_threads_can_trace_concurrently():
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: find_sites(Positions()), range(32)))

    assert {site.path for sites in found for site in sites} == {"relu"}
