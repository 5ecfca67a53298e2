"""What a models registry holds."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from safs.errors import SpecError


@dataclass(frozen=True, slots=True)
class InputShape:
    """The images that a network takes: square, [batch, channels, image_size, image_size]."""

    channels: int
    image_size: int
    """Pixels a side."""


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """An architecture: how to build it, and which input it takes."""

    name: str
    make: Callable[[InputShape, int], nn.Module]
    """(an input that it takes, classes) -> the network, weights drawn from torch's global generator."""
    nearest_input: Callable[[InputShape], InputShape]
    """The input that it takes for a wanted one."""
    summary: str
    source: str

    def build(self, shape: InputShape, classes: int) -> nn.Module:
        """The network for exactly this input.

        Raises:
            SpecError: it does not take this input; the message names the nearest one that it takes.
        """
        nearest = self.nearest_input(shape)
        if nearest != shape:
            raise SpecError(
                f"{self.name} does not take {_words(shape)}; the nearest input that it takes is {_words(nearest)}",
                field="model.architecture",
            )
        return self.make(shape, classes)


def _words(shape: InputShape) -> str:
    return f"{shape.channels} x {shape.image_size} x {shape.image_size}"
