import pytest
import torch

from safs.errors import SafsError, UnknownNameError
from safs.models import InputShape, build, find, input_for


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("resnet18", (1, 32)),
        ("vit_tiny_patch16_224", (1, 224)),
        ("inception_v4", (1, 299)),
        ("tf_efficientnet_b0", (1, 32)),
    ],
)
def test_networks_take_the_images_channels_and_a_size_that_runs(name, taken):
    shape = input_for(f"timm/{name}", 1, 8)

    with torch.device("meta"):
        model = build(f"timm/{name}", channels=shape.channels, classes=7, image_size=shape.image_size, seed=0)
        logits = model(torch.empty(2, shape.channels, shape.image_size, shape.image_size))

    assert shape == InputShape(*taken)
    assert logits.shape == (2, 7)


def test_an_unknown_name_is_told_with_the_closest_ones():
    with pytest.raises(UnknownNameError, match="unknown timm architecture 'timm/resnet19'") as caught:
        find("timm/resnet19")

    assert "timm/resnet18" in caught.value.known
    assert len(caught.value.known) <= 10


def test_without_timm_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr("safs.models.timm.find_spec", lambda name: None)

    with pytest.raises(SafsError, match=r"pip install safs-service\[timm\]") as caught:
        find("timm/resnet18")

    assert caught.value.field == "model.architecture"
