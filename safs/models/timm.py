"""Networks of timm by name, if timm is installed."""

from difflib import get_close_matches
from functools import partial
from importlib.util import find_spec

from torch import nn

from safs.errors import SpecError, UnknownNameError
from safs.models.entry import InputShape, ModelEntry

PREFIX = "timm/"
SMALLEST_IMAGE = 32
"""Smallest image size, in pixels a side, of networks that halve their image five times."""


def timm_entry(name: str) -> ModelEntry:
    """The entry for a timm architecture, such as ``resnet18``.

    Imports timm, which takes seconds.

    Raises:
        SpecError: timm is not installed.
        UnknownNameError: timm has no architecture of this name; the ten closest names are listed.
    """
    if find_spec("timm") is None:
        raise SpecError(
            f"{PREFIX}{name} needs timm, which is not installed: pip install safs-service[timm]",
            field="model.architecture",
        )
    import timm

    known = timm.list_models()
    if name not in known:
        close = get_close_matches(name, known, n=10, cutoff=0.3)
        raise UnknownNameError(
            "timm architecture", f"{PREFIX}{name}", [f"{PREFIX}{other}" for other in close], field="model.architecture"
        )
    return ModelEntry(
        f"{PREFIX}{name}",
        partial(_make, name),
        partial(_nearest_input, name),
        f"timm's {name}, without pretrained weights.",
        "https://github.com/huggingface/pytorch-image-models",
    )


def _make(name: str, shape: InputShape, classes: int) -> nn.Module:
    import timm

    model: nn.Module = timm.create_model(name, pretrained=False, num_classes=classes, in_chans=shape.channels)
    return model


def _nearest_input(name: str, wanted: InputShape) -> InputShape:
    """The wanted channels, and the wanted size unless the architecture has a fixed or a larger smallest size."""
    import timm

    config = timm.get_pretrained_cfg(name)
    if config is None:
        return InputShape(wanted.channels, max(wanted.image_size, SMALLEST_IMAGE))
    native = config.input_size[-1]
    if config.fixed_input_size:
        return InputShape(wanted.channels, native)
    if config.min_input_size:
        smallest = config.min_input_size[-1]
    else:  # timm rarely states the smallest size. Five plain halvings (224 pixels to 7) work from 32; others may not.
        halves_five_times = config.pool_size is not None and config.pool_size[-1] * 32 == native
        smallest = SMALLEST_IMAGE if halves_five_times else native
    return InputShape(wanted.channels, max(wanted.image_size, smallest))
