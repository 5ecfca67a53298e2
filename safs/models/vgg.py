"""VGG-16 for small images."""

from torch import Tensor, nn

from safs.models.entry import InputShape

CONFIGURATION_D = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Widths of the convolutions between two poolings."""


class VGG16(nn.Module):
    """Configuration D of Simonyan and Zisserman (2014, arXiv:1409.1556) in the usual CIFAR variant.

    Batch norm follows each of the 13 convolutions. Average pooling and one linear layer replace three linear layers.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(*_layers(channels))
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
    return VGG16(shape.channels, classes)


def _layers(channels: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for widths in CONFIGURATION_D:
        for width in widths:
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return layers
