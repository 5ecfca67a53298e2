"""A look at a network in eval mode that leaves no trace."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from safs.activations.symbolic_trace import in_mode


@contextmanager
def evaluating(model: nn.Module, seed: int) -> Iterator[None]:
    """While it is open, ``model`` is in eval mode and torch's global random numbers follow from ``seed``.

    Every module's own mode and the random numbers are back afterwards; eval mode alone keeps no network from drawing.
    """
    device = next(model.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), in_mode(model, False):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the other GPUs too.
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
