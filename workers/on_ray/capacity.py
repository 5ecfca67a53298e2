"""How a cluster is divided among trainings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import floor

import ray

from safs.errors import SpecError
from safs.spec.job import ResourcesSpec
from workers.on_ray.gpu_probe import Probe

SMALL_IMAGE = 64
"""Up to this many pixels a side, a training keeps a GPU mostly waiting for Python, so several are packed on one."""
SMALL_SHARE = 0.25
MEMORY_SHARE = 0.85
"""Of a GPU's memory that is given out; the rest is head-room for fragments, and for trials larger than the measured."""
MOST_ON_A_GPU = 16


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster; a training cannot span two."""

    cpus: int
    gpus: int = 0

    def fits(self, cpus: int, gpus: float) -> int:
        """How many trainings of this size run here at once; fractions of a GPU are packed GPU by GPU."""
        by_cpus = self.cpus // cpus
        if not gpus:
            return by_cpus
        return min(by_cpus, self.gpus * _per_gpu(gpus))


@dataclass(frozen=True, slots=True)
class Share:
    """What one training gets, and how many run at once."""

    slots: int
    """Trials in flight: what was asked for, or as many as run at once."""
    workers: int
    """Trainings that really run at once."""
    cpus: int
    gpus: float

    @property
    def device(self) -> str:
        return "cuda" if self.gpus else "cpu"

    @property
    def threads(self) -> int:
        """Torch threads of a training's process."""
        return self.cpus

    @property
    def packed(self) -> int:
        """How many trainings share one device's memory: a GPU's, or without GPUs the machine's."""
        return _per_gpu(self.gpus) if self.gpus else self.workers

    @property
    def roomier(self) -> "Share":
        """The share with half as many trainings on a device; slots, and with them the candidates, stay.

        Also the cores of each stay: with other threads, a training's numbers would be others.
        """
        packed = max(1, self.packed // 2)
        workers = max(1, self.workers * packed // self.packed)
        return replace(self, workers=workers, gpus=1 / packed if self.gpus else 0.0)


def cluster_nodes() -> tuple[Node, ...]:
    """The machines of the Ray that this process is connected to."""
    resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return tuple(Node(int(has.get("CPU", 0)), int(has.get("GPU", 0))) for has in resources)


def pack(probe: Probe, *, cores: int, data_bytes: int = 0) -> float:
    """The share of a GPU that one training gets, 1 over a whole number.

    As many share a GPU as find room in ``MEMORY_SHARE`` of its memory, as keep it busy (kernels of two processes take
    turns, so no more than fit beside each other in time), and as there are cores to drive them; ``MOST_ON_A_GPU`` at
    most.

    Args:
        cores: of a machine, for each of its GPUs.
        data_bytes: of the images that each training holds on the GPU; the probe's own are too few to matter.
    """
    by_memory = int(MEMORY_SHARE * probe.gpu_bytes) // (probe.memory_bytes + data_bytes)
    by_time = floor(1 / probe.busy + 1e-9)
    return 1 / max(1, min(by_memory, by_time, cores, MOST_ON_A_GPU))


def divide(nodes: Sequence[Node], resources: ResourcesSpec, image_size: int, measured: float | None = None) -> Share:
    """The share of one training.

    ``auto`` on a CPU cluster is one core a training: two trainings of one thread finish sooner than one of two.
    On GPUs it is what was measured (see ``pack``); if nothing was, one GPU, or a quarter of one for small images. A
    given ``trials_in_parallel`` runs that many if they fit. Cores that are left are shared out evenly.

    Raises:
        SpecError: the cluster cannot run a single training of this size.
    """
    gpus = _gpus(nodes, resources, image_size, measured)
    most = _at_once(nodes, 1, gpus)
    if most == 0:
        held = f"{sum(node.cpus for node in nodes)} cores and {sum(node.gpus for node in nodes)} GPUs"
        raise SpecError(
            f"no node of the cluster can run a training with 1 core and {gpus:g} GPUs; it has {held} in all. Lower "
            "resources.gpus_per_trial, leave it at 'auto', or add a worker node.",
            field="resources.gpus_per_trial",
        )
    asked = most if resources.trials_in_parallel == "auto" else resources.trials_in_parallel
    workers = min(asked, most)
    cpus = max(
        count for count in range(1, max(node.cpus for node in nodes) + 1) if _at_once(nodes, count, gpus) >= workers
    )
    return Share(slots=asked, workers=workers, cpus=cpus, gpus=gpus)


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
