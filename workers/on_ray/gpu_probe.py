"""What one training takes of a GPU, measured by a short one: memory, and the share of its time in which kernels run."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from safs.activations.module import Activation
from safs.activations.operators import OPERATORS
from safs.data import TensorSplit
from safs.errors import SafsError
from safs.execution.pruning import begin
from safs.execution.training import Training
from safs.execution.work import Context
from safs.networks import Blueprint
from safs.pruning.masks import prunable_parameters

EPOCHS = 3
"""One to warm up, one to time, one to look into."""
MOST_BATCHES, LEAST_BATCHES, VALIDATION_BATCHES = 20, 4, 2
IMAGES_BYTES = 64 * 2**20
"""Of synthetic training images; large ones get fewer batches."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What one training takes of a GPU."""

    memory_bytes: int
    """At its peak, with what the process itself takes."""
    busy: float
    """Share of the wall time in which its kernels run, in (0, 1]."""
    gpu_bytes: int
    """Memory of the whole GPU."""


class ProbeFailed(SafsError):
    """The probe found nothing that can be packed by."""

    code = "probe_failed"


class Meter(Protocol):
    """Reads a device; a test plays it."""

    def wait(self) -> None:
        """Returns when the device has done what it was given."""

    def kernel_s(self, work: Callable[[], object]) -> float:
        """Does ``work``; the seconds in which the device was at work on it."""

    def memory_bytes(self) -> int:
        """The most that this process has had of the device's memory, all in all."""

    def gpu_bytes(self) -> int:
        """The device's memory."""


class CudaMeter:
    """Reads the GPU of this process.

    The kernels' seconds come from ``torch.profiler``, the wall time that they are held against from an epoch without
    it, because the profiler slows Python and not the GPU. Other ways were no good: CUDA events also count the gaps
    between kernels, and ``nvidia-smi``'s utilisation is a mean over up to a second, of all processes, in which an
    interval counts whole if any kernel ran in it.
    """

    def wait(self) -> None:
        torch.cuda.synchronize()

    def kernel_s(self, work: Callable[[], object]) -> float:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            work()
            self.wait()
        # Annotations such as Optimizer.step stand on the GPU's time line too, above the kernels that they hold.
        kernels = (
            event
            for event in profile.key_averages()
            if event.device_type.name == "CUDA" and not event.is_user_annotation
        )
        return sum(float(event.self_device_time_total) for event in kernels) / 1e6

    def memory_bytes(self) -> int:
        # What is used beyond what torch's allocator holds is the context of CUDA and its libraries. Another program on
        # this GPU would count with it, once for each training: too much, which is the safe side.
        free, total = torch.cuda.mem_get_info()
        context = max(total - free - torch.cuda.memory_reserved(), 0)
        return context + torch.cuda.max_memory_reserved()

    def gpu_bytes(self) -> int:
        return int(torch.cuda.mem_get_info()[1])


def measure(context: Context, training: Training, device: str, meter: Meter) -> Probe:
    """What this training, of ``EPOCHS`` epochs, takes of the device.

    Raises:
        ProbeFailed: it broke down, or no kernel was seen.
    """
    run = begin(context, training, device)

    def epoch() -> None:
        run.advance(at_least_s=0.0)
        meter.wait()

    epoch()
    started = time.perf_counter()
    epoch()
    wall_s = time.perf_counter() - started
    memory_bytes = meter.memory_bytes()  # Before the profiler takes memory of its own.
    kernel_s = meter.kernel_s(epoch)
    if (error := run.outcome().error) is not None:
        raise ProbeFailed(f"the training to be measured broke down: {error}")
    if kernel_s <= 0:
        raise ProbeFailed("the profiler saw no kernel on the GPU")
    return Probe(memory_bytes, min(kernel_s / wall_s, 1.0), meter.gpu_bytes())


def largest_operator(names: Iterable[str]) -> str:
    """The operator that keeps most for its backward pass, with its scalars learning: the trial that needs most memory.

    Of equal ones the first; a network's own operators that are in no registry are left out.
    """
    known = [name for name in names if name in OPERATORS]
    return max(known, key=kept_values, default="relu")


def kept_values(name: str, elements: int = 1024) -> float:
    """Values that the operator keeps for its backward pass, for each value of its input."""
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    x = torch.linspace(-1, 1, elements, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = Activation(OPERATORS[name], learnable=True)(x * 1.0)
    kept[result.untyped_storage().data_ptr()] = result  # The next layer keeps it.
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values()) / x.untyped_storage().nbytes()


def synthetic_context(blueprint: Blueprint, batch_size: int, sparsity: float) -> Context:
    """A context of noise: a few batches of the real size, and random masks that leave about the job's live weights."""
    return Context(
        blueprint,
        synthetic_split(blueprint, batches_for(blueprint, batch_size) * batch_size),
        synthetic_split(blueprint, VALIDATION_BATCHES * batch_size),
        batch_size,
        augment=False,
        masks={
            name: torch.rand(parameter.shape, generator=torch.Generator().manual_seed(0)) >= sparsity
            for name, parameter in prunable_parameters(blueprint.build(seed=0)).items()
        },
    )


def batches_for(blueprint: Blueprint, batch_size: int) -> int:
    """Training batches of the probe: many enough to measure by, few enough that large images find room."""
    batch_bytes = batch_size * blueprint.channels * blueprint.image_size**2
    return min(max(IMAGES_BYTES // batch_bytes, LEAST_BATCHES), MOST_BATCHES)


def synthetic_split(blueprint: Blueprint, images: int) -> TensorSplit:
    """Noise of the network's shape, as bytes."""
    shape = (images, blueprint.channels, blueprint.image_size, blueprint.image_size)
    return TensorSplit(
        torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0)),
        torch.arange(images) % blueprint.classes,
        torch.full((blueprint.channels,), 127.5),
        torch.full((blueprint.channels,), 73.9),
        blueprint.classes,
        blueprint.channels,
        blueprint.image_size,
    )
