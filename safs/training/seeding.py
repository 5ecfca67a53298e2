"""A random stream that belongs to a single training."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class RandomState:
    """Position of a stream: the states of its generators, uint8."""

    generator: Tensor
    cpu: Tensor
    device: Tensor | None
    """State of the GPU's generator; None for a training on the CPU."""


class RandomStream:
    """All random numbers of one training, from one seed.

    ``generator`` shuffles and augments. Dropout and stochastic depth can only draw from torch's global generators (the
    CPU's and the device's). Within ``active()`` these continue the training's stream; afterwards the caller's state is
    restored. Trainings in one process can therefore be interleaved epoch by epoch, with the same numbers as alone.
    Python's and numpy's generators are not touched, since no training draws from them.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self._device = device
        with self._forked():
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the other GPUs too.
            if device.type == "cuda":
                with torch.cuda.device(device):
                    torch.cuda.manual_seed(seed)
            self._keep()

    @contextmanager
    def active(self) -> Iterator[None]:
        """Let torch's global generators continue this stream within the block; restores the caller's state after it."""
        with self._forked():
            torch.set_rng_state(self._cpu_state)
            if self._device_state is not None:
                torch.cuda.set_rng_state(self._device_state, self._device)
            yield
            self._keep()

    def state(self) -> RandomState:
        """The position of the stream; to be called outside of ``active()``."""
        return RandomState(self.generator.get_state(), self._cpu_state, self._device_state)

    def restore(self, state: RandomState) -> None:
        """Continue from the state of another stream on the same kind of device."""
        assert (state.device is None) == (self._device.type != "cuda")
        self.generator.set_state(state.generator)
        self._cpu_state, self._device_state = state.cpu, state.device

    def _forked(self) -> AbstractContextManager[None]:
        devices = [self._device] if self._device.type == "cuda" else []
        return torch.random.fork_rng(devices=devices)

    def _keep(self) -> None:
        self._cpu_state = torch.get_rng_state()
        on_gpu = self._device.type == "cuda"
        self._device_state = torch.cuda.get_rng_state(self._device) if on_gpu else None
