"""The division of one machine among trainings, for estimates that cannot ask a cluster."""

import os
from dataclasses import dataclass
from math import floor

from safs.spec.resources import ResourcesSpec

SMALL_IMAGE, SMALL_SHARE = 64, 0.25
"""For images of up to ``SMALL_IMAGE`` pixels a side, ``auto`` gives each training ``SMALL_SHARE`` of a GPU."""


@dataclass(frozen=True, slots=True)
class Share:
    """The resources of one training."""

    at_once: int
    """Number of trainings that run at once."""
    threads: int
    """Torch threads of each training."""
    gpus: float
    """GPUs of each training; a fraction if several share one, 0 on CPUs."""


def local_share(resources: ResourcesSpec, image_size: int, cpus: int, gpus: int) -> Share:
    """The resources of one training on a machine with ``cpus`` cores and ``gpus`` GPUs.

    Follows the division of a cluster with one node (``resources.trials_in_parallel`` in docs/jobs.md). Without GPUs,
    ``resources.gpus_per_trial`` is ignored.
    """
    asked = resources.gpus_per_trial
    share = (SMALL_SHARE if image_size <= SMALL_IMAGE else 1.0) if asked == "auto" else asked
    share = share if gpus else 0.0
    most = min(cpus, gpus * floor(1 / share + 1e-9)) if share else cpus
    at_once = most if resources.trials_in_parallel == "auto" else min(most, resources.trials_in_parallel)
    return Share(at_once, max(1, cpus // at_once), share)


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0))
