"""The size of a stack and the base class of its layers."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from safs.errors import SafsError


class NotStackable(SafsError):
    """A network or a training that cannot be part of a stack; the message says why."""

    code = "not_stackable"


@dataclass(slots=True)
class Stack:
    """The size of a stack and of its present batch; shared by all layers of a stacked network."""

    size: int
    """Number of networks."""
    batch: int = 0
    """Number of images in the batch that is passing through the network."""

    def is_shared(self, x: Tensor) -> bool:
        """True if ``x`` is the same for all networks, with one row for each image."""
        return x.shape[0] == self.batch

    def apart(self, x: Tensor) -> Tensor:
        """[B * K, ...] or shared [B, ...] -> [B, K, ...].

        Raises:
            NotStackable: the rows of ``x`` are no images.
        """
        if self.is_shared(x):
            return x.unsqueeze(1).expand(-1, self.size, *x.shape[1:])
        if x.shape[0] != self.batch * self.size:
            raise NotStackable(f"a layer reads {x.shape[0]} rows for a batch of {self.batch} images")
        return split(x, 0, (self.batch, self.size))


class StackedLayer(nn.Module):
    """A layer of all networks of a stack. ``given`` holds its parameters, [K, ...], by name."""

    def __init__(self, stack: Stack) -> None:
        super().__init__()
        self.stack = stack
        self.given: dict[str, Tensor] = {}


def split(x: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """``x`` with dimension ``dim`` divided into dimensions of ``sizes``; one may be -1."""
    result: Tensor = x.unflatten(dim, tuple(sizes))
    return result
