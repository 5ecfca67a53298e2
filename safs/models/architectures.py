"""The networks that a job can name."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from safs.errors import UnknownNameError
from safs.models import plugins, timm, torchvision
from safs.models.entry import InputShape, ModelEntry
from safs.models.lenet import lenet5, lenet5_input
from safs.models.mlp import mlp
from safs.models.resnet import resnet18, resnet20, resnet34, resnet50, resnet56
from safs.models.vgg import vgg16, vgg19
from safs.registry import Registry


def known_architectures() -> tuple[str, ...]:
    """Every name that ``find`` accepts, except ``timm/<name>``, of which there are more than a thousand."""
    return (
        *MODELS,
        *(f"{torchvision.PREFIX}{name}" for name in torchvision.torchvision_names()),
        *(f"{plugins.PREFIX}{name}" for name in plugins.plugin_names()),
    )


def find(architecture: str) -> ModelEntry:
    """The entry of ``MODELS``, ``torchvision/<name>``, ``timm/<name>`` or ``plugin/<name>``.

    Raises:
        UnknownNameError: there is no network of this name, or the name is not a model builder.
        SpecError: the name is a timm network, and timm is not installed.
    """
    if architecture.startswith(timm.PREFIX):
        return timm.timm_entry(architecture.removeprefix(timm.PREFIX))
    if architecture.startswith(plugins.PREFIX):
        return plugins.plugin_entry(architecture.removeprefix(plugins.PREFIX))
    name = architecture.removeprefix(torchvision.PREFIX)
    if architecture.startswith(torchvision.PREFIX) and name in torchvision.torchvision_names():
        return torchvision.torchvision_entry(name)
    if architecture in MODELS:
        return MODELS[architecture]
    raise UnknownNameError("architecture", architecture, known_architectures(), field="model.architecture")


def input_for(architecture: str, channels: int, image_size: int) -> InputShape:
    """The input that the architecture accepts nearest to ``channels`` x ``image_size`` x ``image_size``."""
    return find(architecture).nearest_input(InputShape(channels, image_size))


def build(architecture: str, *, channels: int, classes: int, image_size: int, seed: int | None = None) -> nn.Module:
    """Build a network, in train mode, for inputs [batch, channels, image_size, image_size].

    A ``seed`` decides the weights and leaves torch's global generator unchanged; None draws them from that generator.
    Under ``torch.device("meta")`` the network takes no memory.

    Raises:
        UnknownNameError: there is no architecture of this name.
        SpecError: the architecture does not accept this input; ``input_for`` gives one that it accepts.
    """
    entry, shape = find(architecture), InputShape(channels, image_size)
    on_meta = torch.get_default_device().type == "meta"
    with torch.random.fork_rng(devices=[], enabled=seed is not None), _RealArithmetic() if on_meta else nullcontext():
        if seed is not None:
            torch.default_generator.manual_seed(seed)
        model = entry.build(shape, classes)
    return model.to("meta") if on_meta else model


class _RealArithmetic(TorchFunctionMode):
    """Keeps small tensors of builders on the CPU under ``torch.device("meta")``; RegNet computes its widths by them."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in (torch.arange, torch.linspace, torch.tensor):
            kwargs = {"device": "cpu", **kwargs}
        return func(*args, **kwargs)


def _at_least(smallest: int, wanted: InputShape) -> InputShape:
    return InputShape(wanted.channels, max(wanted.image_size, smallest))


MODELS: Registry[ModelEntry] = Registry(
    "architecture",
    {
        entry.name: entry
        for entry in (
            ModelEntry(
                "lenet5",
                lenet5,
                lenet5_input,
                "LeNet-5 with ReLU for grey or colour images of 28 or 32 pixels.",
                "LeCun et al. (1998)",
            ),
            ModelEntry(
                "vgg16",
                vgg16,
                lambda wanted: _at_least(32, wanted),
                "VGG-16 with batch norm for small images of at least 32 pixels.",
                "Simonyan and Zisserman (2014), arXiv:1409.1556",
            ),
            ModelEntry(
                "vgg19",
                vgg19,
                lambda wanted: _at_least(32, wanted),
                "VGG-19 with batch norm for small images of at least 32 pixels.",
                "Simonyan and Zisserman (2014), arXiv:1409.1556",
            ),
            ModelEntry(
                "resnet18",
                resnet18,
                lambda wanted: _at_least(8, wanted),
                "ResNet-18 for small images of at least 8 pixels.",
                "He et al. (2015), arXiv:1512.03385",
            ),
            ModelEntry(
                "resnet34",
                resnet34,
                lambda wanted: _at_least(8, wanted),
                "ResNet-34 for small images of at least 8 pixels.",
                "He et al. (2015), arXiv:1512.03385",
            ),
            ModelEntry(
                "resnet50",
                resnet50,
                lambda wanted: _at_least(8, wanted),
                "ResNet-50 with bottlenecks for small images of at least 8 pixels.",
                "He et al. (2015), arXiv:1512.03385",
            ),
            ModelEntry(
                "resnet20",
                resnet20,
                lambda wanted: _at_least(8, wanted),
                "ResNet-20 for CIFAR, 0.27 million weights, for images of at least 8 pixels.",
                "He et al. (2015), arXiv:1512.03385",
            ),
            ModelEntry(
                "resnet56",
                resnet56,
                lambda wanted: _at_least(8, wanted),
                "ResNet-56 for CIFAR, 0.85 million weights, for images of at least 8 pixels.",
                "He et al. (2015), arXiv:1512.03385",
            ),
            ModelEntry(
                "efficientnet_b0",
                torchvision.efficientnet_b0,
                lambda wanted: _at_least(32, wanted),
                "EfficientNet-B0 with SiLU for images of at least 32 pixels.",
                "Tan and Le (2019), arXiv:1905.11946",
            ),
            ModelEntry(
                "mlp",
                mlp,
                lambda wanted: wanted,
                "A perceptron with batch norm and three hidden layers for images of any size.",
                "Rumelhart, Hinton, Williams (1986)",
            ),
        )
    },
)
