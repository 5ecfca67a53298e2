"""A network's output for fixed random images, to compare it before and after surgery."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from safs.pruning.eval_mode import evaluating

IMAGES = 2


@torch.no_grad()
def reference_output(model: nn.Module, example: Tensor) -> Tensor:
    """Returns the output of ``model`` in eval mode for two normally distributed images, the same in every call.

    Args:
        example: one input, [1, channels, height, width], on the model's device.
    """
    draws = torch.randn((IMAGES, *example.shape[1:]), generator=torch.Generator().manual_seed(0))
    with evaluating(model, seed=0), _full_precision():
        output: Tensor = model(draws.to(example))
    return output


@contextmanager
def _full_precision() -> Iterator[None]:
    """Turns off TF32, by which convolutions on a GPU round their inputs to 10 bits."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
