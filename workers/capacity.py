"""How a cluster is divided among trainings."""

from dataclasses import dataclass
from math import floor

import ray

from safs.errors import SpecError
from safs.spec import ResourcesSpec

SMALL_IMAGE = 64
"""Up to this many pixels a side, a training keeps a GPU mostly waiting for Python, so several are packed on one."""
SMALL_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Capacity:
    """What Ray has in all, and on its largest node: a training cannot span nodes."""

    cpus: int
    gpus: float
    node_cpus: int

    @classmethod
    def of_cluster(cls) -> "Capacity":
        """Of the Ray that this process is connected to."""
        total = ray.cluster_resources()
        nodes = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
        return cls(int(total.get("CPU", 1)), total.get("GPU", 0.0), max(nodes, default=1))


@dataclass(frozen=True, slots=True)
class Share:
    """What one training gets, and how many run at once."""

    slots: int
    cpus: int
    gpus: float

    @property
    def device(self) -> str:
        return "cuda" if self.gpus else "cpu"

    @property
    def threads(self) -> int:
        """Torch threads of a training's process."""
        return self.cpus


def divide(capacity: Capacity, resources: ResourcesSpec, image_size: int) -> Share:
    """The share of one training.

    ``auto`` on a CPU cluster is one core a training: two trainings of one thread finish sooner than one of two.
    On GPUs it is one GPU, or a quarter of one for small images. A given ``trials_in_parallel`` divides the cores.

    Raises:
        SpecError: ``gpus_per_trial`` asks for GPUs that the cluster does not have.
    """
    gpus = _gpus(capacity, resources, image_size)
    most = max(floor(capacity.gpus / gpus + 1e-9), 1) if gpus else max(capacity.cpus, 1)
    slots = most if resources.trials_in_parallel == "auto" else resources.trials_in_parallel
    at_once = min(slots, most, max(capacity.cpus, 1))
    if resources.trials_in_parallel == "auto":
        slots = at_once
    cpus = max(min(capacity.cpus // at_once, capacity.node_cpus), 1)
    return Share(slots=slots, cpus=cpus, gpus=gpus)


def _gpus(capacity: Capacity, resources: ResourcesSpec, image_size: int) -> float:
    if resources.gpus_per_trial == "auto":
        if not capacity.gpus:
            return 0.0
        return SMALL_SHARE if image_size <= SMALL_IMAGE else 1.0
    if resources.gpus_per_trial > capacity.gpus:
        raise SpecError(
            f"gpus_per_trial is {resources.gpus_per_trial:g}, but the cluster has {capacity.gpus:g} GPUs. "
            "Lower it, leave it at 'auto', or add a GPU worker.",
            field="resources.gpus_per_trial",
        )
    return resources.gpus_per_trial
