"""Finds out how many trainings a cluster's GPUs should share, where a job leaves that open."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import ray
import torch
from ray.exceptions import RayError

from safs.activations.surgery import candidate_operators, find_sites
from safs.data import DataInfo
from safs.errors import SafsError
from safs.execution.training import Training
from safs.execution.work import Context
from safs.networks import Blueprint
from safs.spec.job import JobSpec, Recipe
from workers.on_ray.capacity import Node, pack
from workers.on_ray.gpu_probe import (
    EPOCHS,
    CudaMeter,
    Meter,
    Probe,
    ProbeFailed,
    largest_operator,
    measure,
    synthetic_context,
)

TIME_LIMIT_S = 180.0
"""For a GPU to get free and the probe to end; a job does not wait longer to learn what it can do without."""
POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class Measured:
    """What the probe has found, in words; ``gpus`` is None where it failed."""

    gpus: float | None
    message: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where the probe runs, and what reads the device; a test without a GPU has another."""

    device: str = "cuda"
    gpus: float = 1.0
    meter: Meter = CudaMeter()  # noqa: RUF009  # has no state


GPU = Place()


def measured_share(
    spec: JobSpec,
    info: DataInfo,
    blueprint: Blueprint,
    nodes: Sequence[Node],
    check: Callable[[], None],
    place: Place = GPU,
) -> Measured | None:
    """The share of a GPU for one training of this job, by a probe on one of the cluster's GPUs.

    None where there is nothing to find out: the job says how much it wants, or there is no GPU. The GPUs of a cluster
    are taken to be alike.

    Args:
        check: called while the probe runs; what it raises ends the wait.
    """
    if spec.resources.gpus_per_trial != "auto" or not any(node.gpus for node in nodes):
        return None
    try:
        context, training = largest_training(spec, blueprint)
        probe = probe_on_ray(context, training, check, place)
    except SafsError as error:
        return Measured(None, f"What a trial takes of a GPU could not be measured, so a rule of thumb is used: {error}")
    cores = min(node.cpus // node.gpus for node in nodes if node.gpus)
    gpus = pack(probe, cores=cores, data_bytes=data_bytes(info, blueprint))
    return Measured(
        gpus,
        f"Measured: a trial takes {probe.memory_bytes / 2**30:.2f} of a GPU's {probe.gpu_bytes / 2**30:.0f} GiB and "
        f"keeps it busy for {probe.busy:.0%} of the time. Trials on a GPU: {round(1 / gpus)}.",
    )


def largest_training(spec: JobSpec, blueprint: Blueprint) -> tuple[Context, Training]:
    """The training of a job that takes most, on noise: the operator that keeps most at every site, scalars learning.

    Its optimizer is Adam: no other of ours keeps more than two values a weight.
    """
    with torch.device("meta"):
        sites = find_sites(blueprint.build())
    operator = largest_operator(candidate_operators(sites, spec.activations.operators))
    recipe = Recipe(optimizer="adam", learning_rate=1e-5)
    training = Training({site.path: operator for site in sites}, recipe, EPOCHS, seed=0, learnable=True)
    return synthetic_context(blueprint, spec.data.batch_size, spec.sparsity), training


def data_bytes(info: DataInfo, blueprint: Blueprint) -> int:
    """Of the images that a training keeps on its GPU, as bytes of their stored size or the network's."""
    side = min(info.image_size, blueprint.image_size)
    return (info.train + info.validation) * info.channels * side**2


def probe_on_ray(
    context: Context, training: Training, check: Callable[[], None], place: Place = GPU, limit_s: float = TIME_LIMIT_S
) -> Probe:
    """What the training takes, measured in a process of its own with a whole GPU.

    Raises:
        ProbeFailed: it broke down, its process did, or it took too long.
    """
    task = ray.remote(num_cpus=1, num_gpus=place.gpus, max_calls=1, max_retries=0)(measure)
    running = task.remote(context, training, place.device, place.meter)
    deadline = time.monotonic() + limit_s
    try:
        while not ray.wait([running], timeout=min(POLL_S, limit_s))[0]:
            check()
            if time.monotonic() > deadline:
                raise ProbeFailed(f"no GPU was free, or the measurement not done, within {limit_s:g} s")
        found = ray.get(running)
    except RayError as error:
        raise ProbeFailed(_first_line(error)) from error
    finally:
        ray.cancel(running, force=True)
    assert isinstance(found, Probe)
    return found


def _first_line(error: RayError) -> str:
    cause = getattr(error, "cause", None) or error
    return f"{type(cause).__name__}: {str(cause).strip().partition(chr(10))[0]}"
