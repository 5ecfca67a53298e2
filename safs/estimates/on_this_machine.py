"""The estimate of a job that is only checked, timed on this machine."""

import resource
from pathlib import Path

import torch

from safs.data import TensorSplit
from safs.estimates.estimate import Estimate, estimate
from safs.estimates.local_share import cores, local_share
from safs.estimates.stage_costs import Seconds, Slots
from safs.estimates.timing import Timing, Trainings, Untimed, time_trainings
from safs.networks import Blueprint, Network
from safs.preflight import Preflight
from safs.spec.job import JobSpec

BEFORE = Seconds(6.0, 1.0, 15.0)
"""Time before the first stage of a job: little if the runner has kept its workers, more on a busy machine."""
IMAGE_BYTES = 2**27
"""Memory of the synthetic images. The time of a batch that does not fit is extrapolated from smaller batches."""


def estimate_on_this_machine(spec: JobSpec, preflight: Preflight, *, memory_bytes: int | None = None) -> Estimate:
    """Estimate the cost of the job on this machine with nothing else running on it; never raises.

    Call this in a process that does nothing else afterwards: it limits the memory of the process and sets its number of
    torch threads. If timing fails, the estimate has no seconds and holds the reason.

    Args:
        memory_bytes: memory that timing may allocate on CPUs; None allows half of what is available.
    """
    share = local_share(spec.resources, preflight.blueprint.image_size, cores(), torch.cuda.device_count())
    torch.set_num_threads(share.threads)
    if not share.gpus:  # CUDA reserves far more address space than it uses.
        _limit_memory(memory_bytes or available_bytes() // 2)
    timing: Timing | Untimed
    try:
        count = min(preflight.data.train, 4 * spec.data.batch_size)
        noise = images(preflight.blueprint, count, crop_and_flip=preflight.blueprint.channels > 1)
    except (MemoryError, RuntimeError) as error:  # torch raises the second if it cannot allocate
        timing = Untimed(f"{type(error).__name__}: {error}")
    else:
        timing = time_trainings(
            Network(preflight.blueprint, {}),
            noise,
            spec.data.batch_size,
            "cuda" if share.gpus else "cpu",
            trainings=Trainings.of(spec, preflight),
        )
    return estimate(spec, preflight, [timing], Slots(share.at_once, share.gpus, timed_alone=True), BEFORE)


def estimate_untimed(spec: JobSpec, preflight: Preflight, reason: str) -> Estimate:
    """The estimate without seconds; ``reason`` says why nothing was timed."""
    share = local_share(spec.resources, preflight.blueprint.image_size, cores(), gpus=0)
    return estimate(spec, preflight, [Untimed(reason)], Slots(share.at_once, share.gpus, timed_alone=True), BEFORE)


def available_bytes() -> int:
    """Memory that the machine can still give out, in bytes."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))


def images(blueprint: Blueprint, count: int, *, crop_and_flip: bool) -> TensorSplit:
    """At most ``count`` images of noise in the shape of the network's input; they take up to ``IMAGE_BYTES``."""
    shape = (blueprint.channels, blueprint.image_size, blueprint.image_size)
    most = max(2, IMAGE_BYTES // (blueprint.channels * blueprint.image_size**2))
    count, generator = min(count, most), torch.Generator().manual_seed(0)
    return TensorSplit(
        torch.randint(256, (count, *shape), dtype=torch.uint8, generator=generator),
        torch.randint(blueprint.classes, (count,), generator=generator),
        mean=torch.full(shape[:1], 127.5),
        std=torch.full(shape[:1], 73.9),
        classes=blueprint.classes,
        channels=blueprint.channels,
        image_size=blueprint.image_size,
        crop_and_flip=crop_and_flip,
    )


def _limit_memory(size_bytes: int) -> None:
    """Let this process allocate ``size_bytes`` more than now. Allocations beyond that fail as out of memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    used = next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmData:"))
    resource.setrlimit(resource.RLIMIT_DATA, (used + size_bytes, used + size_bytes))
