"""The division of a cluster among trainings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, floor

import ray

from safs.errors import SpecError
from safs.spec.resources import ResourcesSpec
from workers.on_ray.gpu_probe import Probe

SMALL_IMAGE = 64
"""Largest image side, in pixels, at which a training leaves its GPU mostly idle, so that several share one."""
SMALL_SHARE = 0.25
"""Fraction of a GPU for a training on small images."""
MEMORY_SHARE = 0.85
"""Fraction of a GPU's memory that is given out. The rest is for fragmentation and unusually large trials."""
MOST_ON_A_GPU = 16
"""Largest number of trainings on one GPU."""


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster. A training runs on one machine."""

    cpus: int
    gpus: int = 0

    def fits(self, cpus: int, gpus: float) -> int:
        """Return how many trainings of this size run here at once. A fraction of a GPU cannot span two GPUs."""
        by_cpus = self.cpus // cpus
        if not gpus:
            return by_cpus
        return min(by_cpus, self.gpus * _per_gpu(gpus))


@dataclass(frozen=True, slots=True)
class Share:
    """The resources of one training, and the number of trainings that run at once."""

    slots: int
    """Number of trials in flight: the requested number, or by default ``workers``."""
    workers: int
    """Number of trainings, or stacks of trials, that run at once; at most ``slots``."""
    cpus: int
    """Cores of one training."""
    gpus: float
    """GPUs of one training; may be a fraction."""
    stack: int = 1
    """Number of trials that a worker trains as one."""
    cuda_graph: bool = False
    """True to record the steps of a stack."""

    @property
    def device(self) -> str:
        """Torch device of a training: ``cuda`` or ``cpu``."""
        return "cuda" if self.gpus else "cpu"

    @property
    def threads(self) -> int:
        """Number of torch threads of a training's process."""
        return self.cpus

    @property
    def packed(self) -> int:
        """Number of trainings that share the memory of one device: of a GPU, or without GPUs of the machine."""
        return _per_gpu(self.gpus) if self.gpus else self.workers

    @property
    def less_packed(self) -> "Share":
        """The share with half as many trainings on a device.

        ``slots`` stays, so that the search proposes the same candidates. ``cpus`` stays, because another number of
        threads would change a training's results.
        """
        packed = max(1, self.packed // 2)
        workers = max(1, self.workers * packed // self.packed)
        return replace(self, workers=workers, gpus=1 / packed if self.gpus else 0.0)


def cluster_nodes() -> tuple[Node, ...]:
    """Return the living machines of the Ray cluster that this process is connected to."""
    resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return tuple(Node(int(has.get("CPU", 0)), int(has.get("GPU", 0))) for has in resources)


def pack(probe: Probe, *, cores: int, data_bytes: int = 0) -> float:
    """Return the fraction of a GPU for one training, which is 1 over a whole number.

    The number of trainings on a GPU is limited by ``MEMORY_SHARE`` of its memory, by its time (kernels of two
    processes take turns, so their busy shares add up to at most 1), by the cores, and by ``MOST_ON_A_GPU``.

    Args:
        cores: number of cores of a machine for each of its GPUs.
        data_bytes: bytes of images that each training holds on the GPU. Those of the probe are too few to matter.
    """
    by_memory = int(MEMORY_SHARE * probe.gpu_bytes) // (probe.memory_bytes + data_bytes)
    by_time = floor(1 / probe.busy + 1e-9)
    return 1 / max(1, min(by_memory, by_time, cores, MOST_ON_A_GPU))


def divide(
    nodes: Sequence[Node],
    resources: ResourcesSpec,
    image_size: int,
    measured: float | None = None,
    measured_stack: int = 1,
) -> Share:
    """Return the share of one training.

    On a cluster without GPUs, ``auto`` gives each training one core: two trainings of one thread finish sooner than
    one training of two threads. On GPUs, ``auto`` is ``measured`` (see ``pack``), or without a measurement one GPU, or
    a quarter of one for small images. A given ``trials_in_parallel`` runs that many trainings at once if they fit.
    Cores that remain are divided evenly.

    Args:
        image_size: side of the network's input, in pixels.
        measured: fraction of a GPU that ``pack`` found for one training; None if nothing was measured.
        measured_stack: number of trials that are faster as one, for ``resources.stack: auto``.

    Raises:
        SpecError: the cluster cannot run a single training of this size.
    """
    gpus = _gpus(nodes, resources, image_size, measured)
    most = _at_once(nodes, 1, gpus)
    if most == 0:
        available = f"{sum(node.cpus for node in nodes)} cores and {sum(node.gpus for node in nodes)} GPUs"
        raise SpecError(
            f"no node of the cluster can run a training with 1 core and {gpus:g} GPUs; it has {available} in all. "
            "Lower resources.gpus_per_trial, leave it at 'auto', or add a worker node.",
            field="resources.gpus_per_trial",
        )
    stack = _stack(resources, measured_stack)
    asked = most * stack if resources.trials_in_parallel == "auto" else resources.trials_in_parallel
    workers = min(ceil(asked / stack), most)
    cpus = max(
        count for count in range(1, max(node.cpus for node in nodes) + 1) if _at_once(nodes, count, gpus) >= workers
    )
    return Share(asked, workers, cpus, gpus, min(stack, asked), resources.cuda_graph and gpus > 0)


def _stack(resources: ResourcesSpec, measured: int) -> int:
    """Return the number of trials that are trained as one. Ray Tune runs each trial by itself."""
    if resources.dispatcher == "tune" or resources.stack == "off":
        return 1
    return measured if resources.stack == "auto" else resources.stack


def _per_gpu(gpus: float) -> int:
    return floor(1 / gpus + 1e-9)


def _at_once(nodes: Sequence[Node], cpus: int, gpus: float) -> int:
    return sum(node.fits(cpus, gpus) for node in nodes)


def _gpus(nodes: Sequence[Node], resources: ResourcesSpec, image_size: int, measured: float | None) -> float:
    if resources.gpus_per_trial != "auto":
        return resources.gpus_per_trial
    if not any(node.gpus for node in nodes):
        return 0.0
    if measured is not None:
        return measured
    return SMALL_SHARE if image_size <= SMALL_IMAGE else 1.0
