"""The number of trainings that share a GPU, measured for jobs with ``gpus_per_trial: auto``."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ray
import torch
from ray.exceptions import RayError

from safs.activations.surgery import candidate_operators, find_sites
from safs.data import DataInfo
from safs.errors import SafsError
from safs.execution.training import Training
from safs.execution.work import Context
from safs.networks import Blueprint
from safs.spec.job import JobSpec
from safs.spec.training import Recipe
from safs.training.numerics import compute_repeatably
from workers.on_ray.capacity import Node, pack
from workers.on_ray.gpu_probe import (
    EPOCHS,
    STACKS,
    CudaMeter,
    Meter,
    Probe,
    ProbeFailed,
    largest_operator,
    measure,
    synthetic_context,
)

TIME_LIMIT_S = 180.0
"""Longest wait, in seconds, for a free GPU and the measurement. After that, a rule of thumb is used."""
POLL_S = 0.5
"""Seconds between two checks whether the run must end."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The result of the measurement."""

    gpus: float | None
    """Fraction of a GPU for one training; None if the measurement failed."""
    message: str
    """The result in words, for the job's events."""
    stack: int = 1
    """Number of trials that are trained as one."""


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """The device on which the probe runs, and the meter that measures it. Tests have one without a GPU."""

    device: str = "cuda"
    gpus: float = 1.0
    meter: Meter = CudaMeter()  # noqa: RUF009  # has no state


GPU = ProbeTarget()


def measured_share(
    spec: JobSpec,
    info: DataInfo,
    blueprint: Blueprint,
    nodes: Sequence[Node],
    check: Callable[[], None],
    target: ProbeTarget = GPU,
) -> Measured | None:
    """Measure the fraction of a GPU that one training of this job needs, on one of the cluster's GPUs.

    Returns None if the job gives ``gpus_per_trial`` or the cluster has no GPU. All GPUs of a cluster are assumed to be
    alike.

    Args:
        check: called while the probe runs; raises if the run must end.
    """
    if not needs_measurement(spec, nodes):
        return None
    try:
        context, training = largest_training(spec, blueprint)
        auto = spec.resources.stack == "auto" and spec.resources.dispatcher == "actors"
        probe = probe_on_ray(context, training, check, target, stacks=STACKS if auto else ())
    except SafsError as error:
        return Measured(None, f"The GPU share of a trial could not be measured, so a rule of thumb is used: {error}")
    cores = min(node.cpus // node.gpus for node in nodes if node.gpus)
    gpus = pack(probe, cores=cores, data_bytes=data_bytes(info, blueprint))
    found = (
        f"Measured: a trial takes {probe.memory_bytes / 2**30:.2f} of a GPU's {probe.gpu_bytes / 2**30:.0f} GiB and "
        f"keeps it busy for {probe.busy:.0%} of the time."
    )
    stack = probe.best_stack(round(1 / gpus))
    if stack > 1:
        return Measured(1.0, f"{found} Trials that a GPU trains as one: {stack}.", stack)
    return Measured(gpus, f"{found} Trials on a GPU: {round(1 / gpus)}.")


def needs_measurement(spec: JobSpec, nodes: Sequence[Node]) -> bool:
    """Return True if the job leaves its share of a GPU open and the cluster has a GPU."""
    return spec.resources.gpus_per_trial == "auto" and any(node.gpus for node in nodes)


def largest_training(spec: JobSpec, blueprint: Blueprint) -> tuple[Context, Training]:
    """Return a training on noise with the largest demands that a trial of this job can have.

    It has the operator that saves most values at every site, learnable scalars, and Adam, since no optimizer in the
    registry keeps more than two values per weight.
    """
    with torch.device("meta"):
        sites = find_sites(blueprint.build())
    operator = largest_operator(candidate_operators(sites, spec.activations.operators))
    recipe = Recipe(optimizer="adam", learning_rate=1e-5)
    training = Training({site.path: operator for site in sites}, recipe, EPOCHS, seed=0, learnable=True)
    return synthetic_context(blueprint, spec.data.batch_size, spec.sparsity or 0.0), training


def data_bytes(info: DataInfo, blueprint: Blueprint) -> int:
    """Return the bytes of the images that a training holds on its GPU, in their stored or the network's size."""
    side = min(info.image_size, blueprint.image_size)
    return (info.train + info.validation) * info.channels * side**2


def probe_on_ray(
    context: Context,
    training: Training,
    check: Callable[[], None],
    target: ProbeTarget = GPU,
    limit_s: float = TIME_LIMIT_S,
    stacks: Sequence[int] = (),
) -> Probe:
    """Measure the training in a process of its own with a whole GPU.

    Args:
        stacks: sizes of stacks to time.
        limit_s: longest wait for a free GPU and the measurement, in seconds.

    Raises:
        ProbeFailed: the training or its process failed, or the limit has passed.
    """
    actor: Any = ray.remote(num_cpus=1, num_gpus=target.gpus)(_Prober)
    prober = actor.remote()
    running = prober.measure.remote(context, training, target.device, target.meter, stacks)
    deadline = time.monotonic() + limit_s
    try:
        while not ray.wait([running], timeout=min(POLL_S, limit_s))[0]:
            check()
            if time.monotonic() > deadline:
                raise ProbeFailed(f"no GPU was free, or the measurement did not end, within {limit_s:g} s")
        found = ray.get(running)
    except RayError as error:
        raise ProbeFailed(_first_line(error)) from error
    finally:
        ray.kill(prober)
    assert isinstance(found, Probe)
    return found


class _Prober:
    """Measures a training in a process of its own.

    It is an actor, because Ray has no safe way to end a task: ``ray.cancel`` aborts the calling process if the task
    ends at the same moment ("Tried to complete task that was not pending", Ray 2.60).
    """

    def measure(self, context: Context, training: Training, device: str, meter: Meter, stacks: Sequence[int]) -> Probe:
        compute_repeatably(device)
        return measure(context, training, device, meter, stacks)


def _first_line(error: RayError) -> str:
    cause = getattr(error, "cause", None) or error
    return f"{type(cause).__name__}: {str(cause).strip().partition(chr(10))[0]}"
