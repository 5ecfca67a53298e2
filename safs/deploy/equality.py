"""Check that an exported network computes what the result computes."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from safs.errors import ExportError

TOLERANCE = 1e-4
"""Largest difference of outputs, relative to the largest output of the result."""
_BATCH = 64


@dataclass(frozen=True, slots=True)
class Images:
    """Normalised images on which two networks are compared."""

    tensor: Tensor
    """float32 [images, channels, size, size]."""
    source: str
    """``validation split``, or ``random`` where the data set is not there."""


@dataclass(frozen=True, slots=True)
class Equality:
    """The difference between the outputs of an exported network and those of the result."""

    images: int
    source: str
    """Origin of the images: ``validation split`` or ``random``."""
    largest_difference: float
    """Largest absolute difference between two logits."""
    relative_difference: float
    """The same, divided by the largest absolute logit of the result."""
    equal_predictions: int
    """Images for which both networks predict the same class."""


@torch.inference_mode()
def outputs(network: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Logits [images, classes], computed in batches; the last batch can be smaller."""
    return torch.cat([network(batch) for batch in images.split(_BATCH)])


def check_equality(expected: Tensor, actual: Tensor, images: Images, what: str) -> Equality:
    """Compare logits [images, classes].

    Args:
        what: name of the exported network, for the error.

    Raises:
        ExportError: the outputs differ by more than ``TOLERANCE``, or one of them is not finite and the other is.
    """
    if expected.shape != actual.shape:
        raise ExportError(f"{what} returns outputs of shape {tuple(actual.shape)}, not {tuple(expected.shape)}")
    same = (expected == actual) | (expected.isnan() & actual.isnan())
    difference = float(torch.where(same, 0.0, (expected - actual).abs()).max())
    largest = float(torch.nan_to_num(expected, 0.0, 0.0, 0.0).abs().max())
    relative = difference / largest if largest else difference
    equal = int((expected.argmax(1) == actual.argmax(1)).sum())
    if not relative <= TOLERANCE:  # also NaN
        raise ExportError(
            f"{what} computes something else than the result: its outputs differ by {difference:.3g} ({relative:.3g} "
            f"of the largest output; {TOLERANCE:g} is allowed), and {equal} of {len(expected)} predictions are equal"
        )
    return Equality(len(expected), images.source, difference, relative, equal)


class Normalised(nn.Module):
    """A network behind the normalisation of its input: it takes raw pixels.

    Args:
        scale: largest value of a raw pixel.
        mean, std: of each channel, of pixels divided by ``scale``.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, scale: float, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.network = network
        self.scale = scale
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """float32 pixels [batch, channels, size, size] from 0 to ``scale`` -> logits [batch, classes]."""
        logits: Tensor = self.network((pixels / self.scale - self.mean) / self.std)
        return logits

    def raw(self, images: Tensor) -> Tensor:
        """The raw pixels whose normalised form is ``images``."""
        return (images * self.std + self.mean) * self.scale
