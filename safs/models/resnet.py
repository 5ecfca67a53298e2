"""ResNets for small images: ResNet-18, 34 and 50, and the narrower ResNet-20 and 56 that were made for CIFAR."""

from torch import Tensor, nn

from safs.models.entry import InputShape


class ResNet(nn.Module):
    """Four stages of residual blocks by He, Zhang, Ren, Sun (2015, arXiv:1512.03385), in the usual CIFAR variant.

    The stem is a 3x3 convolution of stride 1 without max pooling. The last ReLU of a block follows the addition.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        blocks: tuple[int, int, int, int],
        block: "type[BasicBlock | Bottleneck] | None" = None,
    ) -> None:
        super().__init__()
        block = block or BasicBlock
        wide = block.expansion
        self.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.layer1 = _stage(block, 64, 64, 1, blocks[0])
        self.layer2 = _stage(block, 64 * wide, 128, 2, blocks[1])
        self.layer3 = _stage(block, 128 * wide, 256, 2, blocks[2])
        self.layer4 = _stage(block, 256 * wide, 512, 2, blocks[3])
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(512 * wide, classes)
        _draw_weights(self)

    def forward(self, images: Tensor) -> Tensor:
        """[batch, channels, height, width] -> logits [batch, classes]."""
        x = self.relu(self.bn1(self.conv1(images)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits: Tensor = self.fc(self.pool(x).flatten(1))
        return logits


class NarrowResNet(nn.Module):
    """Three stages of ``blocks`` basic blocks of 16, 32 and 64 channels: section 4.2 of the ResNet paper.

    Shortcuts that change the shape are 1x1 convolutions (the paper's option B; its CIFAR networks pad with zeros).
    """

    def __init__(self, channels: int, classes: int, blocks: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.layer1 = _stage(BasicBlock, 16, 16, 1, blocks)
        self.layer2 = _stage(BasicBlock, 16, 32, 2, blocks)
        self.layer3 = _stage(BasicBlock, 32, 64, 2, blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(64, classes)
        _draw_weights(self)

    def forward(self, images: Tensor) -> Tensor:
        """[batch, channels, height, width] -> logits [batch, classes]."""
        x = self.layer3(self.layer2(self.layer1(self.relu(self.bn1(self.conv1(images))))))
        logits: Tensor = self.fc(self.pool(x).flatten(1))
        return logits


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, which is a 1x1 convolution if the shape changes."""

    expansion = 1

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu2 = nn.ReLU()
        self.shortcut = _shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, inputs, h, w] -> [batch, outputs, h / stride, w / stride]."""
        residual = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        output: Tensor = self.relu2(residual + self.shortcut(x))
        return output


class Bottleneck(nn.Module):
    """A 1x1, a 3x3 and a 1x1 convolution to four times ``width`` channels, and a shortcut."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu3 = nn.ReLU()
        self.shortcut = _shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, inputs, h, w] -> [batch, 4 width, h / stride, w / stride]."""
        hidden = self.relu2(self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x))))))
        output: Tensor = self.relu3(self.bn3(self.conv3(hidden)) + self.shortcut(x))
        return output


def resnet18(shape: InputShape, classes: int) -> nn.Module:
    """Build ResNet-18 for small images: two blocks in each stage."""
    return ResNet(shape.channels, classes, (2, 2, 2, 2))


def resnet34(shape: InputShape, classes: int) -> nn.Module:
    """Build ResNet-34 for small images: 3, 4, 6 and 3 blocks in the stages."""
    return ResNet(shape.channels, classes, (3, 4, 6, 3))


def resnet50(shape: InputShape, classes: int) -> nn.Module:
    """Build ResNet-50 for small images: 3, 4, 6 and 3 bottlenecks in the stages."""
    return ResNet(shape.channels, classes, (3, 4, 6, 3), Bottleneck)


def resnet20(shape: InputShape, classes: int) -> nn.Module:
    """Build ResNet-20: three blocks in each of three narrow stages."""
    return NarrowResNet(shape.channels, classes, 3)


def resnet56(shape: InputShape, classes: int) -> nn.Module:
    """Build ResNet-56: nine blocks in each of three narrow stages."""
    return NarrowResNet(shape.channels, classes, 9)


def _stage(block: type[BasicBlock | Bottleneck], inputs: int, width: int, stride: int, blocks: int) -> nn.Sequential:
    outputs = width * block.expansion
    return nn.Sequential(block(inputs, width, stride), *(block(outputs, width, 1) for _ in range(blocks - 1)))


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


def _draw_weights(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
