import pytest
import torch
import torchvision

from safs.errors import SpecError
from safs.models import InputShape, build, input_for
from safs.models.torchvision import torchvision_names


@pytest.mark.parametrize(
    ("name", "wanted", "taken"),
    [
        ("resnet18", (1, 8), (3, 32)),
        ("resnet18", (3, 100), (3, 100)),
        ("alexnet", (3, 32), (3, 63)),
        ("inception_v3", (3, 32), (3, 75)),
        ("vit_b_16", (3, 100), (3, 112)),
        ("vit_b_32", (3, 8), (3, 64)),
        ("vit_h_14", (3, 32), (3, 42)),
        ("maxvit_t", (3, 32), (3, 224)),
        ("swin_t", (3, 32), (3, 32)),
    ],
)
def test_the_nearest_input_is_the_smallest_accepted_size_from_the_wanted_one(name, wanted, taken):
    assert input_for(f"torchvision/{name}", *wanted) == InputShape(*taken)


def test_grey_images_are_refused():
    with pytest.raises(SpecError, match="torchvision/resnet18 does not accept 1 x 32 x 32"):
        build("torchvision/resnet18", channels=1, classes=10, image_size=32)


@pytest.mark.parametrize(
    "name", ["regnet_x_400mf", "vit_b_32", "maxvit_t", "swin_v2_t", "alexnet", "efficientnet_v2_s"]
)
def test_networks_build_and_run_on_the_meta_device_at_their_smallest_input(name):
    shape = input_for(f"torchvision/{name}", 1, 8)

    with torch.device("meta"):
        model = build(f"torchvision/{name}", channels=3, classes=7, image_size=shape.image_size, seed=0)
        logits = model(torch.empty(2, 3, shape.image_size, shape.image_size))

    assert logits.shape == (2, 7)
    assert all(value.is_meta for value in model.state_dict().values())


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_networks_are_built_without_auxiliary_heads(name):
    with torch.device("meta"):
        model = build(f"torchvision/{name}", channels=3, classes=7, image_size=299)

    assert not any("aux" in key.lower() for key in model.state_dict())
    assert model.training


def test_names_are_classification_builders_only():
    names = torchvision_names()

    assert {"resnet18", "vit_b_16", "maxvit_t"} <= set(names)
    assert all(callable(getattr(torchvision.models, name)) for name in names)
    assert not any(name.startswith(("fcn", "quantized", "raft", "r3d", "fasterrcnn")) for name in names)
