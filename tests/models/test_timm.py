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
def test_networks_run_at_their_nearest_input_with_the_images_channels(name, taken):
    shape = input_for(f"timm/{name}", 1, 8)

    with torch.device("meta"):
        model = build(f"timm/{name}", channels=shape.channels, classes=7, image_size=shape.image_size, seed=0)
        logits = model(torch.empty(2, shape.channels, shape.image_size, shape.image_size))

    assert shape == InputShape(*taken)
    assert logits.shape == (2, 7)


def test_the_error_for_an_unknown_name_lists_the_closest_ones():
    with pytest.raises(UnknownNameError, match="unknown timm architecture 'timm/resnet19'") as caught:
        find("timm/resnet19")

    assert "timm/resnet18" in caught.value.known
    assert len(caught.value.known) <= 10


def test_the_error_without_timm_says_what_to_install(monkeypatch):
    monkeypatch.setattr("safs.models.timm.find_spec", lambda name: None)

    with pytest.raises(SafsError, match=r"pip install safs-service\[timm\]") as caught:
        find("timm/resnet18")

    assert caught.value.field == "model.architecture"
