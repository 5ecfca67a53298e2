"""Entries of the registry of models."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from safs.errors import SpecError


@dataclass(frozen=True, slots=True)
class InputShape:
    """Shape of the square images that a network accepts: [batch, channels, image_size, image_size]."""

    channels: int
    image_size: int
    """Pixels a side."""


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """An architecture: how to build it, and which inputs it accepts."""

    name: str
    make: Callable[[InputShape, int], nn.Module]
    """(an accepted input, classes) -> the network, with weights drawn from torch's global generator."""
    nearest_input: Callable[[InputShape], InputShape]
    """(a wanted input) -> the nearest input that the architecture accepts."""
    summary: str
    source: str
    """The paper or library that defines the architecture."""

    def build(self, shape: InputShape, classes: int) -> nn.Module:
        """Build the network for exactly this input.

        Raises:
            SpecError: the architecture does not accept this input; the message names the nearest that it accepts.
        """
        nearest = self.nearest_input(shape)
        if nearest != shape:
            raise SpecError(
                f"{self.name} does not accept {_words(shape)}; the nearest input that it accepts is {_words(nearest)}",
                field="model.architecture",
            )
        return self.make(shape, classes)


def _words(shape: InputShape) -> str:
    return f"{shape.channels} x {shape.image_size} x {shape.image_size}"
