"""Temporary eval mode without side effects."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from safs.modes import in_mode


@contextmanager
def evaluating(model: nn.Module, seed: int) -> Iterator[None]:
    """Puts ``model`` into eval mode and seeds torch's global generators; restores both afterwards.

    The modes of all modules and the generators' states are restored. The seed matters, since a network can draw random
    numbers in eval mode too.
    """
    device = next(model.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), in_mode(model, False):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would also seed the other GPUs
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
