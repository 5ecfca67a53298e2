"""A measurement of one training on a GPU: its peak memory, and the share of wall time in which its kernels run."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Protocol

import torch
from torch import Tensor

from safs.activations.module import Activation
from safs.activations.operators import OPERATORS
from safs.data import TensorSplit
from safs.errors import SafsError
from safs.execution.runs import begin
from safs.execution.stacked import StackedRun
from safs.execution.training import Training
from safs.execution.work import Context
from safs.networks import Blueprint
from safs.pruning.masks import prunable_parameters
from safs.spec.resources import MOST_STACKED
from safs.training.settings import TrainingData

EPOCHS = 3
"""Epochs of the measured training: one to warm up, one that is timed, one that is profiled."""
MOST_BATCHES, LEAST_BATCHES = 20, 4
"""Range of the number of synthetic training batches."""
VALIDATION_BATCHES = 2
STACKS = (4, 16, MOST_STACKED)
"""Sizes of the stacks that are timed, until one is no faster than the one before."""
WORTH_STACKING = 1.1
"""Factor by which a stack must be faster than trainings side by side, which are assumed not to disturb one another."""
IMAGES_BYTES = 64 * 2**20
"""Largest size of the synthetic training images. Large images get fewer batches."""


@dataclass(frozen=True, slots=True)
class Probe:
    """The demands of one training on a GPU."""

    memory_bytes: int
    """Peak memory of the training's process, CUDA's context included."""
    busy: float
    """Share of wall time in which its kernels run, in (0, 1]."""
    gpu_bytes: int
    """Memory of the whole GPU."""
    epoch_s: float = 0.0
    """Seconds of one epoch of the training."""
    stacked_epoch_s: Mapping[int, float] = field(default_factory=dict)
    """Number of trainings in a stack -> seconds of one of its epochs. Empty if the network cannot be stacked."""

    def best_stack(self, packed: int) -> int:
        """Return the size of the stack that is faster than ``packed`` trainings side by side; 1 if none is."""
        if not self.stacked_epoch_s:
            return 1
        size, epoch_s = max(self.stacked_epoch_s.items(), key=lambda entry: entry[0] / entry[1])
        return size if size / epoch_s > WORTH_STACKING * packed / self.epoch_s else 1


class ProbeFailed(SafsError):
    """The measurement failed, so trainings cannot be packed by it."""

    code = "probe_failed"


class Meter(Protocol):
    """Measures a device. Tests have a fake one."""

    def wait(self) -> None:
        """Wait until the device has finished its queued work."""

    def kernel_s(self, work: Callable[[], object]) -> float:
        """Run ``work`` and return the seconds in which the device ran kernels for it."""

    def memory_bytes(self) -> int:
        """Return the peak of the device's memory that this process has held, in bytes."""

    def gpu_bytes(self) -> int:
        """Return the total memory of the device, in bytes."""


class CudaMeter:
    """Measures the GPU of this process.

    Kernel seconds come from ``torch.profiler``. The wall time that they are compared with comes from an epoch without
    the profiler, because the profiler slows Python down and not the GPU. Two alternatives were rejected: CUDA events
    also count the gaps between kernels, and the utilisation of ``nvidia-smi`` is a mean over up to a second and over
    all processes, in which an interval counts fully if any kernel ran in it.
    """

    def wait(self) -> None:
        torch.cuda.synchronize()

    def kernel_s(self, work: Callable[[], object]) -> float:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            work()
            self.wait()
        # Annotations such as Optimizer.step are on the GPU's time line too, and enclose the kernels.
        kernels = (
            event
            for event in profile.key_averages()
            if event.device_type.name == "CUDA" and not event.is_user_annotation
        )
        return sum(float(event.self_device_time_total) for event in kernels) / 1e6

    def memory_bytes(self) -> int:
        # Memory beyond torch's allocator is the context of CUDA and its libraries. Another program on this GPU would be
        # counted too, once for each training: an overestimate, which is safe.
        free, total = torch.cuda.mem_get_info()
        context = max(total - free - torch.cuda.memory_reserved(), 0)
        return context + torch.cuda.max_memory_reserved()

    def gpu_bytes(self) -> int:
        return int(torch.cuda.mem_get_info()[1])


def measure(context: Context, training: Training, device: str, meter: Meter, stacks: Sequence[int] = ()) -> Probe:
    """Run ``training``, of ``EPOCHS`` epochs, and return its demands on the device.

    Args:
        stacks: sizes of stacks to time, in ascending order.

    Raises:
        ProbeFailed: the training broke down, or the profiler saw no kernel.
    """
    run = begin(context, training, device)

    def epoch() -> None:
        run.advance(at_least_s=0.0)
        meter.wait()

    epoch()
    started = time.perf_counter()
    epoch()
    wall_s = time.perf_counter() - started
    memory_bytes = meter.memory_bytes()  # Read before the profiler allocates memory of its own.
    kernel_s = meter.kernel_s(epoch)
    if (error := run.outcome().error) is not None:
        raise ProbeFailed(f"the training to be measured broke down: {error}")
    if kernel_s <= 0:
        raise ProbeFailed("the profiler saw no kernel on the GPU")
    busy, stacked = min(kernel_s / wall_s, 1.0), time_stacks(context, training, device, meter, stacks)
    return Probe(memory_bytes, busy, meter.gpu_bytes(), wall_s, stacked)


def time_stacks(
    context: Context, training: Training, device: str, meter: Meter, sizes: Sequence[int]
) -> dict[int, float]:
    """Return the seconds of an epoch by the size of the stack, up to the first size that is no faster a training."""
    found: dict[int, float] = {}
    before = inf
    for size in sizes:
        run = StackedRun(context, [training] * size, device)
        run.advance(at_least_s=0.0)
        meter.wait()
        if run.reason is not None or run.halved:
            break
        began = time.perf_counter()
        run.advance(at_least_s=0.0)
        meter.wait()
        found[size] = time.perf_counter() - began
        if found[size] / size >= before:
            break
        before = found[size] / size
    return found


def largest_operator(names: Iterable[str]) -> str:
    """Return the operator that saves most values for its backward pass, with learnable scalars.

    A trial with it needs the most memory. Of equal operators, the first wins. A network's own operators, which are in
    no registry, are ignored.
    """
    known = [name for name in names if name in OPERATORS]
    return max(known, key=kept_values, default="relu")


def kept_values(name: str, elements: int = 1024) -> float:
    """Return the number of values that the operator saves for its backward pass, per value of its input."""
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    x = torch.linspace(-1, 1, elements, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = Activation(OPERATORS[name], learnable=True)(x * 1.0)
    kept[result.untyped_storage().data_ptr()] = result  # The next layer saves its input.
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values()) / x.untyped_storage().nbytes()


def synthetic_context(blueprint: Blueprint, batch_size: int, sparsity: float) -> Context:
    """Return a context with images of noise, batches of the real size, and random masks of about the job's sparsity."""
    return Context(
        blueprint,
        TrainingData(
            synthetic_split(blueprint, batches_for(blueprint, batch_size) * batch_size),
            synthetic_split(blueprint, VALIDATION_BATCHES * batch_size),
            batch_size,
        ),
        masks={
            name: torch.rand(parameter.shape, generator=torch.Generator().manual_seed(0)) >= sparsity
            for name, parameter in prunable_parameters(blueprint.build(seed=0)).items()
        },
    )


def batches_for(blueprint: Blueprint, batch_size: int) -> int:
    """Return the number of training batches, from ``LEAST_BATCHES`` to ``MOST_BATCHES``; fewer for large images."""
    batch_bytes = batch_size * blueprint.channels * blueprint.image_size**2
    return min(max(IMAGES_BYTES // batch_bytes, LEAST_BATCHES), MOST_BATCHES)


def synthetic_split(blueprint: Blueprint, images: int) -> TensorSplit:
    """Return ``images`` uint8 images of noise in the network's input shape."""
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
