"""LeNet-5 with ReLU and max pooling."""

from torch import Tensor, nn

from safs.models.entry import InputShape


class LeNet5(nn.Module):
    """Two convolutions and three linear layers; 61,470 prunable weights for 1 channel and 10 classes.

    LeCun, Bottou, Bengio, Haffner (1998), with ReLU and max pooling as usual today. The first convolution pads images
    of 28 pixels to the published 32, so both sizes give the same weight shapes.
    """

    def __init__(self, channels: int, classes: int, image_size: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 6, 5, padding=(32 - image_size) // 2)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.relu2 = nn.ReLU()
        self.pool2 = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.relu3 = nn.ReLU()
        self.fc2 = nn.Linear(120, 84)
        self.relu4 = nn.ReLU()
        self.fc3 = nn.Linear(84, classes)

    def forward(self, images: Tensor) -> Tensor:
        """[batch, channels, 28 | 32, 28 | 32] -> logits [batch, classes]."""
        x = self.pool1(self.relu1(self.conv1(images)))
        x = self.pool2(self.relu2(self.conv2(x))).flatten(1)
        logits: Tensor = self.fc3(self.relu4(self.fc2(self.relu3(self.fc1(x)))))
        return logits


def lenet5(shape: InputShape, classes: int) -> nn.Module:
    """Build LeNet-5 for 28 or 32 pixels and 1 or 3 channels."""
    return LeNet5(shape.channels, classes, shape.image_size)


def lenet5_input(wanted: InputShape) -> InputShape:
    """The nearest accepted input: 28 or 32 pixels (32 for 30), 1 or 3 channels."""
    return InputShape(1 if wanted.channels == 1 else 3, 28 if wanted.image_size < 30 else 32)
