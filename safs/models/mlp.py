"""A multilayer perceptron for small images."""

from itertools import pairwise

from torch import Tensor, nn

from safs.models.entry import InputShape


class MLP(nn.Module):
    """Hidden layers with batch norm and ReLU, then a linear classifier."""

    def __init__(self, features: int, classes: int, hidden: tuple[int, ...] = (256, 128, 64)) -> None:
        super().__init__()
        self.hidden = nn.Sequential(
            *(HiddenLayer(inputs, outputs) for inputs, outputs in pairwise((features, *hidden)))
        )
        self.classifier = nn.Linear(hidden[-1], classes)

    def forward(self, images: Tensor) -> Tensor:
        """[batch, channels, height, width] -> logits [batch, classes]."""
        logits: Tensor = self.classifier(self.hidden(images.flatten(1)))
        return logits


class HiddenLayer(nn.Module):
    """A linear layer, batch norm and ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=False)
        self.norm = nn.BatchNorm1d(outputs)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """[batch, inputs] -> [batch, outputs]."""
        output: Tensor = self.relu(self.norm(self.linear(x)))
        return output


def mlp(shape: InputShape, classes: int) -> nn.Module:
    """Build the perceptron for images of one size; each unit of the first layer has one weight for each pixel."""
    return MLP(shape.channels * shape.image_size**2, classes)
