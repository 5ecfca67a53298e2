"""VGG-16 and VGG-19 for small images."""

from typing import TypeAlias

from torch import Tensor, nn

from safs.models.entry import InputShape

CONFIGURATION_D = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
CONFIGURATION_E = ((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4)
"""Widths of the convolutions between two poolings, for VGG-16 and VGG-19."""
Widths: TypeAlias = tuple[tuple[int, ...], ...]


class VGG(nn.Module):
    """VGG by Simonyan and Zisserman (2014, arXiv:1409.1556) in the usual CIFAR variant.

    Batch norm follows each convolution. Average pooling and one linear layer replace three linear layers.
    """

    def __init__(self, channels: int, classes: int, configuration: Widths) -> None:
        super().__init__()
        self.features = nn.Sequential(*_layers(channels, configuration))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(512, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """[batch, channels, >= 32, >= 32] -> logits [batch, classes]."""
        logits: Tensor = self.classifier(self.pool(self.features(images)).flatten(1))
        return logits


def vgg16(shape: InputShape, classes: int) -> nn.Module:
    """Build VGG-16 with batch norm for small images."""
    return VGG(shape.channels, classes, CONFIGURATION_D)


def vgg19(shape: InputShape, classes: int) -> nn.Module:
    """Build VGG-19 with batch norm for small images."""
    return VGG(shape.channels, classes, CONFIGURATION_E)


def _layers(channels: int, configuration: Widths) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for widths in configuration:
        for width in widths:
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return layers
