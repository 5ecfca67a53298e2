"""How one machine is divided among trainings, where no cluster can be asked."""

import os
from dataclasses import dataclass
from math import floor

from safs.spec.job import ResourcesSpec

SMALL_IMAGE, SMALL_SHARE = 64, 0.25
"""Up to this many pixels a side, ``auto`` packs trainings on a GPU, this much of it each."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one training has."""

    at_once: int
    """Trainings that run at once."""
    threads: int
    gpus: float


def local_share(resources: ResourcesSpec, image_size: int, cpus: int, gpus: int) -> Share:
    """The share of one training on a machine with so many cores and GPUs; a GPU that is not there is done without.

    As the workers divide a cluster of one node: see ``resources.trials_in_parallel`` in docs/jobs.md.
    """
    asked = resources.gpus_per_trial
    share = (SMALL_SHARE if image_size <= SMALL_IMAGE else 1.0) if asked == "auto" else asked
    share = share if gpus else 0.0
    most = min(cpus, gpus * floor(1 / share + 1e-9)) if share else cpus
    at_once = most if resources.trials_in_parallel == "auto" else min(most, resources.trials_in_parallel)
    return Share(at_once, max(1, cpus // at_once), share)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))
