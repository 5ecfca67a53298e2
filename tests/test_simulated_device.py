"""The simulated device refuses what a GPU refuses, and records what makes a host wait."""

import pytest
import torch

from tests.simulated_device import DEVICE, simulated_device


def test_tensors_of_two_devices_do_not_meet() -> None:
    with simulated_device(), pytest.raises(RuntimeError, match="same device"):
        torch.ones(2, device=DEVICE) + torch.ones(2)


def test_a_scalar_of_the_cpu_may_meet_tensors_of_the_device() -> None:
    with simulated_device():
        assert (torch.ones(2, device=DEVICE) + torch.ones(())).tolist() == [2.0, 2.0]


def test_a_generator_of_the_cpu_does_not_draw_on_the_device() -> None:
    with simulated_device():
        with pytest.raises(RuntimeError, match="generator of the device"):
            torch.rand(2, device=DEVICE, generator=torch.Generator().manual_seed(0))
        with pytest.raises(RuntimeError, match="generator of the device"):
            torch.rand(2, generator=torch.Generator(DEVICE).manual_seed(0))
        torch.rand(2, device=DEVICE, generator=torch.Generator(DEVICE).manual_seed(0))


@pytest.mark.parametrize(
    "read", [float, bool, lambda x: x.item(), lambda x: x.tolist(), lambda x: x.cpu(), lambda x: x.nonzero()]
)
def test_every_read_of_the_host_is_recorded(read) -> None:
    with simulated_device() as device:
        total = torch.ones(3, device=DEVICE).sum()
        assert not device.reads
        read(total)
        assert len(device.reads) == 1
        with torch.inference_mode():
            read(total)
        assert len(device.reads) == 2
