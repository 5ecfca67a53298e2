"""Every classification network of torchvision, by name.

torchvision is imported inside the functions. Its import takes as long as torch's, and a trial that runs in a new
process does not need it unless it trains a torchvision network.
"""

from functools import partial

from torch import nn

from safs.models.entry import InputShape, ModelEntry

PREFIX = "torchvision/"
SMALLEST_IMAGE = 32
"""Smallest image size, in pixels a side. Most networks halve the image five times, to one pixel from 32."""


def torchvision_names() -> tuple[str, ...]:
    """Names of torchvision's classification builders, without the prefix: ``resnet18``, not ``ResNet``."""
    from torchvision import models

    return tuple(models.list_models(module=models))


def torchvision_entry(name: str) -> ModelEntry:
    """The entry for one of ``torchvision_names``."""
    return ModelEntry(
        f"{PREFIX}{name}",
        partial(_make, name),
        partial(_nearest_input, name),
        f"torchvision's {name}, without pretrained weights.",
        "torchvision.models",
    )


def efficientnet_b0(shape: InputShape, classes: int) -> nn.Module:
    """Build torchvision's EfficientNet-B0 (Tan and Le 2019, arXiv:1905.11946) with a stem for the given channels."""
    model: nn.Module = _make("efficientnet_b0", shape, classes)
    if shape.channels != 3:
        stem = model.get_submodule("features.0")
        assert isinstance(stem, nn.Sequential)
        convolution = nn.Conv2d(shape.channels, 32, 3, stride=2, padding=1, bias=False)
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out")
        stem[0] = convolution
    return model


def _make(name: str, shape: InputShape, classes: int) -> nn.Module:
    """Call the builder, without auxiliary heads.

    Auxiliary heads need a weighted sum of three losses and return a tuple of outputs. Without them one loss over one
    output trains every network, and no weights are spent on heads that are discarded after training.
    """
    from torchvision.models import get_model

    options: dict[str, object] = {}
    if name in ("googlenet", "inception_v3"):
        options = {"aux_logits": False, "init_weights": True}
    elif name.startswith("vit_"):
        options = {"image_size": shape.image_size}
    elif name.startswith("maxvit_"):
        options = {"input_size": (shape.image_size, shape.image_size)}
    model: nn.Module = get_model(name, weights=None, num_classes=classes, **options)
    return model


def _nearest_input(name: str, wanted: InputShape) -> InputShape:
    """Three channels, and the smallest accepted size that is at least the wanted one."""
    smallest, step = _sizes(name)
    image_size = max(wanted.image_size, smallest)
    return InputShape(3, -(-image_size // step) * step)


def _sizes(name: str) -> tuple[int, int]:
    """Smallest image size, and the number that a size must be a multiple of, both in pixels."""
    if name.startswith("vit_"):
        patch = int(name.rpartition("_")[2])
        return max(SMALLEST_IMAGE, 2 * patch), patch
    if name.startswith("maxvit_"):
        return 224, 224  # Four halvings, then windows of 7 pixels.
    if name.startswith("swin_"):
        return SMALLEST_IMAGE, 1  # Swin pads its windows, so the minimum that its weights state does not apply.
    from torchvision.models import get_model_weights

    weights = get_model_weights(name)
    return max(SMALLEST_IMAGE, *(max(entry.meta["min_size"]) for entry in weights)), 1
