"""ResNet-18 and ResNet-34 for small images."""

from torch import Tensor, nn

from safs.models.entry import InputShape


class ResNet(nn.Module):
    """Four stages of basic blocks by He, Zhang, Ren, Sun (2015, arXiv:1512.03385), in the usual CIFAR variant.

    The stem is a 3x3 convolution of stride 1 without max pooling. The second ReLU of a block follows the addition.
    """

    def __init__(self, channels: int, classes: int, blocks: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.layer1 = _stage(64, 64, 1, blocks[0])
        self.layer2 = _stage(64, 128, 2, blocks[1])
        self.layer3 = _stage(128, 256, 2, blocks[2])
        self.layer4 = _stage(256, 512, 2, blocks[3])
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(512, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """[batch, channels, height, width] -> logits [batch, classes]."""
        x = self.relu(self.bn1(self.conv1(images)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits: Tensor = self.fc(self.pool(x).flatten(1))
        return logits


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, which is a 1x1 convolution if the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu2 = nn.ReLU()
        self.shortcut = (
            nn.Identity()
            if stride == 1 and inputs == outputs
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        """[batch, inputs, h, w] -> [batch, outputs, h / stride, w / stride]."""
        residual = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        output: Tensor = self.relu2(residual + self.shortcut(x))
        return output


def resnet18(shape: InputShape, classes: int) -> nn.Module:
    """Build ResNet-18 for small images: two blocks in each stage."""
    return ResNet(shape.channels, classes, (2, 2, 2, 2))


def resnet34(shape: InputShape, classes: int) -> nn.Module:
    """Build ResNet-34 for small images: 3, 4, 6 and 3 blocks in the stages."""
    return ResNet(shape.channels, classes, (3, 4, 6, 3))


def _stage(inputs: int, outputs: int, stride: int, blocks: int) -> nn.Sequential:
    first = BasicBlock(inputs, outputs, stride)
    return nn.Sequential(first, *(BasicBlock(outputs, outputs, 1) for _ in range(blocks - 1)))
