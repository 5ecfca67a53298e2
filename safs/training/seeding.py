"""Random numbers that belong to one training alone."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class RandomState:
    """Where a stream is: states of its generators, uint8."""

    generator: Tensor
    cpu: Tensor
    device: Tensor | None
    """None where the stream belongs to the CPU."""


class RandomStream:
    """A training's own random numbers, from one seed.

    ``generator`` shuffles and augments. Dropout and stochastic depth can only draw from torch's global generators (the
    CPU's, and the device's), so within ``active()`` those continue this training's stream, and outside of it they are
    what the caller left. Trainings in one process may so be interleaved epoch by epoch, and each gives the numbers
    that it gives alone. Python's and numpy's generators are not touched: nothing in a training draws from them.
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
        """While the block runs, torch's global generators continue this stream; then they are the caller's again."""
        with self._forked():
            torch.set_rng_state(self._cpu_state)
            if self._device_state is not None:
                torch.cuda.set_rng_state(self._device_state, self._device)
            yield
            self._keep()

    def state(self) -> RandomState:
        """Where the stream is, outside of ``active()``."""
        return RandomState(self.generator.get_state(), self._cpu_state, self._device_state)

    def restore(self, state: RandomState) -> None:
        """Goes on from where another stream on the same kind of device was."""
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
