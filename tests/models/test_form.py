import copy
import dataclasses
import json

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from safs.activations.surgery import rewire
from safs.errors import WeightsError
from safs.models import build
from safs.models.form import Form, InputSelection, apply_form
from safs.models.shared_weights import SharedConv2d, SharedLinear
from safs.pruning.masks import prunable_parameters

NARROW_LENET = Form(
    {
        "conv1.weight": (4, 1, 5, 5),
        "conv1.bias": (4,),
        "conv2.weight": (16, 4, 5, 5),
        "fc2.weight": (50, 120),
        "fc2.bias": (50,),
        "fc3.weight": (10, 50),
    }
)
TIED_RESNET = Form(shared={"layer1.1.conv1.weight": "layer1.0.conv2.weight"})


def network(architecture: str, **input_shape: int) -> nn.Module:
    return build(architecture, classes=10, seed=0, **{"channels": 1, "image_size": 28, **input_shape})


def test_a_form_is_restored_from_json():
    form = Form({"fc.weight": (10, 3)}, InputSelection("pixel", (0, 5, 9)), {"b.weight": "a.weight"})

    restored = TypeAdapter(Form).validate_python(json.loads(json.dumps(dataclasses.asdict(form))))

    assert restored == form


def test_the_empty_form_changes_nothing():
    model = network("lenet5")
    before = copy.deepcopy(model.state_dict())

    assert apply_form(Form(), model) is model

    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_smaller_layers_have_the_right_attributes_and_run():
    model = apply_form(NARROW_LENET, network("lenet5"))

    assert (model.conv1.out_channels, model.conv2.in_channels, model.conv2.out_channels) == (4, 4, 16)
    assert (model.fc2.out_features, model.fc3.in_features) == (50, 50)
    assert "Conv2d(1, 4," in repr(model)
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    assert model.conv1.weight.requires_grad


def test_smaller_weights_are_the_leading_part_of_the_original():
    model = apply_form(NARROW_LENET, network("lenet5"))

    assert torch.equal(model.conv1.weight, network("lenet5").conv1.weight[:4])
    assert torch.equal(model.fc3.weight, network("lenet5").fc3.weight[:, :50])


def test_a_state_loads_into_another_network_of_the_same_form():
    first, second = (apply_form(NARROW_LENET, build("lenet5", channels=1, classes=10, image_size=28)) for _ in "ab")

    second.load_state_dict(first.state_dict())

    images = torch.randn(3, 1, 28, 28)
    assert torch.equal(first(images), second(images))


def test_norms_and_depthwise_convolutions_are_resized():
    model = nn.Sequential(nn.Conv2d(6, 6, 3, groups=6), nn.BatchNorm2d(6), nn.PReLU(6), nn.Conv2d(6, 4, 1, groups=2))
    norms = nn.ModuleList([nn.GroupNorm(2, 8), nn.LayerNorm(8), nn.InstanceNorm2d(8, affine=True), nn.Embedding(5, 8)])
    narrow = dict.fromkeys(("0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var", "2.weight"), (4,))

    apply_form(Form({"0.weight": (4, 1, 3, 3), **narrow, "3.weight": (4, 2, 1, 1)}), model)
    apply_form(
        Form({**{f"{norm}.{name}": (6,) for norm in range(3) for name in ("weight", "bias")}, "3.weight": (5, 6)}),
        norms,
    )

    assert (model[0].groups, model[0].in_channels, model[0].out_channels) == (4, 4, 4)
    assert (model[1].num_features, model[2].num_parameters) == (4, 4)
    assert (model[3].groups, model[3].in_channels, model[3].out_channels) == (2, 4, 4)
    assert model(torch.zeros(2, 4, 5, 5)).shape == (2, 4, 3, 3)
    assert (norms[0].num_channels, norms[1].normalized_shape, norms[2].num_features) == (6, (6,), 6)
    assert norms[3].embedding_dim == 6


def test_a_form_applies_on_the_meta_device():
    with torch.device("meta"):
        model = apply_form(dataclasses.replace(NARROW_LENET, shared={}), network("lenet5"))
        tied = apply_form(TIED_RESNET, network("resnet18"))

    assert model.conv1.weight.is_meta
    assert model.conv1.weight.shape == (4, 1, 5, 5)
    assert tied.layer1[1].conv1.weight is tied.layer1[0].conv2.weight


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (Form({"nowhere.weight": (1,)}), "nowhere"),
        (Form({"conv1.wait": (1,)}), "conv1.wait"),
        (Form({"conv1.bias": (7,)}), r"\(7,\)"),
        (Form({"conv1.bias": (0,)}), r"\(0,\)"),
        (Form({"conv1.bias": (2, 2)}), r"\(2, 2\)"),
        (Form(shared={"conv1.weight": "conv2.weight"}), "owner first"),
        (Form(shared={"conv2.weight": "conv1.weight"}), "differ in type or in the weight.s shape"),
        (Form(shared={"conv9.weight": "conv1.weight"}), "conv9"),
    ],
)
def test_a_form_that_does_not_fit_is_refused(form, message):
    with pytest.raises(WeightsError, match=message):
        apply_form(form, network("lenet5"))


def test_resizing_attention_is_refused():
    with pytest.raises(WeightsError, match="MultiheadAttention"):
        apply_form(Form({"in_proj_weight": (6, 4)}), nn.MultiheadAttention(4, 2))


class TwoLayers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x))


def test_a_tied_layer_uses_the_owners_weight_times_its_scale():
    model = TwoLayers()
    bias = model.second.bias
    apply_form(Form(shared={"second.weight": "first.weight"}), model)
    x = torch.randn(4, 3)

    assert isinstance(model.second, SharedLinear)
    torch.testing.assert_close(model.second(x), x @ model.first.weight.T + bias)
    with torch.no_grad():
        model.second.share_scale.fill_(-2.0)
    torch.testing.assert_close(model.second(x), -2 * (x @ model.first.weight.T + bias))


def test_the_gradient_of_a_tied_weight_is_the_sum_over_its_layers():
    torch.manual_seed(0)
    tied, untied = TwoLayers(), TwoLayers()
    apply_form(Form(shared={"second.weight": "first.weight"}), tied)
    untied.load_state_dict({**tied.state_dict(), "second.weight": tied.first.weight}, strict=False)
    x = torch.randn(4, 3)

    tied(x).square().sum().backward()
    untied(x).square().sum().backward()

    torch.testing.assert_close(tied.first.weight.grad, untied.first.weight.grad + untied.second.weight.grad)
    assert tied.second.share_scale.grad is not None


def test_a_tied_weight_is_listed_and_saved_once():
    model = apply_form(TIED_RESNET, network("resnet18"))

    assert isinstance(model.layer1[1].conv1, SharedConv2d)
    for names in (prunable_parameters(model), dict(model.named_parameters()), model.state_dict()):
        assert "layer1.0.conv2.weight" in names
        assert "layer1.1.conv1.weight" not in names
    assert "layer1.1.conv1.share_scale" in model.state_dict()


def test_a_tied_network_loads_and_stays_tied():
    source, target = apply_form(TIED_RESNET, network("resnet18")), apply_form(TIED_RESNET, network("resnet18"))
    with torch.no_grad():
        source.layer1[0].conv2.weight.mul_(2)
        source.layer1[1].conv1.share_scale.fill_(0.5)

    target.load_state_dict(source.state_dict())

    assert torch.equal(target.layer1[1].conv1.weight, source.layer1[0].conv2.weight)
    assert target.layer1[1].conv1.weight is target.layer1[0].conv2.weight
    assert target.layer1[1].conv1.share_scale == 0.5


def test_a_tied_network_can_be_rewired():
    model = apply_form(TIED_RESNET, network("resnet18")).eval()
    with torch.no_grad():
        model.layer1[1].conv1.share_scale.fill_(0.5)
    images = torch.randn(2, 1, 8, 8)

    assert torch.equal(rewire(model).eval()(images), model(images))
    rewired = rewire(model, {"relu": "tanh"}).train()
    rewired(images).sum().backward()
    assert model.layer1[1].conv1.share_scale.grad is not None
