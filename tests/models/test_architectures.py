import pytest
import torch
from torch import nn

from safs.errors import SpecError, UnknownNameError
from safs.models import MODELS, InputShape, build, find, input_for, known_architectures


def prunable_weights(model: nn.Module) -> int:
    return sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear))


@pytest.mark.parametrize(
    ("channels", "image_size"),
    [(3, 8), *(pytest.param(*shape, marks=pytest.mark.exhaustive) for shape in ((1, 28), (3, 32), (1, 64)))],
)
@pytest.mark.parametrize("name", MODELS)
def test_every_model_accepts_its_nearest_input_and_has_gradients(name, image_size, channels):
    shape = input_for(name, channels, image_size)
    model = build(name, channels=shape.channels, classes=7, image_size=shape.image_size, seed=0)

    logits = model(torch.randn(2, shape.channels, shape.image_size, shape.image_size))
    logits.sum().backward()

    assert MODELS[name].name == name
    assert MODELS[name].summary
    assert MODELS[name].source
    assert shape.channels == channels
    assert logits.shape == (2, 7)
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert input_for(name, shape.channels, shape.image_size) == shape


@pytest.mark.parametrize("name", MODELS)
def test_every_model_builds_on_the_meta_device_with_the_same_state(name):
    shape = input_for(name, 1, 28)
    real = build(name, channels=1, classes=10, image_size=shape.image_size)

    with torch.device("meta"):
        meta = build(name, channels=1, classes=10, image_size=shape.image_size)

    assert all(value.is_meta for value in meta.state_dict().values())
    assert {key: value.shape for key, value in meta.state_dict().items()} == {
        key: value.shape for key, value in real.state_dict().items()
    }


@pytest.mark.parametrize("name", MODELS)
def test_a_seed_decides_the_weights_and_leaves_the_global_generator_unchanged(name):
    shape = input_for(name, 1, 28)
    state = torch.get_rng_state()

    one, same, other = (
        build(name, channels=1, classes=10, image_size=shape.image_size, seed=seed).state_dict() for seed in (3, 3, 4)
    )

    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, same[key]) for key, value in one.items())
    assert not all(torch.equal(value, other[key]) for key, value in one.items())


@pytest.mark.parametrize("image_size", [28, 32])
def test_lenet5_has_the_published_number_of_weights_at_both_sizes(image_size):
    model = build("lenet5", channels=1, classes=10, image_size=image_size)

    assert prunable_weights(model) == 6 * 25 + 16 * 6 * 25 + 400 * 120 + 120 * 84 + 84 * 10 == 61_470


@pytest.mark.parametrize(
    ("wanted", "taken"), [((1, 8), (1, 28)), ((3, 29), (3, 28)), ((3, 30), (3, 32)), ((4, 99), (3, 32))]
)
def test_lenet5_accepts_28_or_32_pixels_in_grey_or_colour(wanted, taken):
    assert input_for("lenet5", *wanted) == InputShape(*taken)


def test_resnet18_and_vgg16_have_their_known_sizes():
    resnet = build("resnet18", channels=3, classes=10, image_size=32)
    vgg = build("vgg16", channels=3, classes=10, image_size=32)

    assert sum(parameter.numel() for parameter in resnet.parameters()) == 11_173_962
    assert (
        sum(parameter.numel() for parameter in vgg.parameters()) == 14_710_464 + 2 * 4_224 + 5_130
    )  # convolutions, norms, classifier


@pytest.mark.parametrize(
    ("name", "parameters"),
    # As in kuangliu/pytorch-cifar (VGG-19 without the biases of 16 convolutions) and chenyaofo/pytorch-cifar-models.
    [("resnet50", 23_520_842), ("resnet20", 272_474), ("resnet56", 855_770), ("vgg19", 20_040_522 - 5_504)],
)
def test_the_networks_of_the_pruning_papers_have_their_known_sizes(name, parameters):
    with torch.device("meta"):
        model = build(name, channels=3, classes=10, image_size=32)

    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def test_resnet34_has_the_21_265_088_prunable_weights_of_sparse_training_papers():
    with torch.device("meta"):
        model = build("resnet34", channels=3, classes=10, image_size=32)

    assert prunable_weights(model) == 21_265_088
    assert [len(getattr(model, f"layer{stage}")) for stage in (1, 2, 3, 4)] == [3, 4, 6, 3]


def test_resnet18_has_the_names_and_weights_of_earlier_versions():
    state = build("resnet18", channels=3, classes=10, image_size=32, seed=0).state_dict()

    last_drawn, drawn_before = state["layer4.1.conv2.weight"], state["fc.weight"]
    assert len(state) == 122
    assert last_drawn.flatten()[:3].tolist() == pytest.approx([0.00362327, 0.00946952, 0.00781633], rel=1e-4)
    assert drawn_before.flatten()[:3].tolist() == pytest.approx([0.00101480, -0.03527169, 0.01955979], rel=1e-4)


def test_the_error_for_an_input_that_is_not_accepted_names_the_nearest():
    with pytest.raises(
        SpecError, match="lenet5 does not accept 1 x 30 x 30; the nearest input that it accepts is 1 x 32 x 32"
    ):
        build("lenet5", channels=1, classes=10, image_size=30)


@pytest.mark.parametrize(
    "name", ["lenet", "torchvision/ResNet", "torchvision/resnet", "torchvision/list_models", "resnet101"]
)
def test_names_that_are_not_model_builders_are_unknown(name):
    with pytest.raises(UnknownNameError, match="unknown architecture") as caught:
        find(name)

    assert caught.value.field == "model.architecture"
    assert "lenet5" in caught.value.known


def test_every_known_architecture_is_found():
    assert {find(name).name for name in known_architectures()} == set(known_architectures())
    assert {"lenet5", "mlp", "torchvision/resnet18"} <= set(known_architectures())
