"""The resources of a job's trainings, and the part of that choice that its row keeps for later attempts."""

import logging

from safs.events.kinds import Note
from safs.preflight import Preflight
from safs.spec.job import Dispatcher
from store import attempts
from workers.attempt import Attempt
from workers.on_ray.capacity import Share, cluster_nodes, divide
from workers.on_ray.executor import RayExecutor
from workers.on_ray.gpu_share import measured_share

log = logging.getLogger(__name__)


def open_ray(attempt: Attempt, preflight: Preflight) -> RayExecutor:
    """Return an executor on this process's Ray, with the number of workers and GPU shares that suit the job."""
    spec, recorder = attempt.spec, attempt.recorder
    nodes = cluster_nodes()
    measured = measured_share(spec, preflight.data, preflight.blueprint, nodes, recorder.check)
    if measured is not None:
        recorder(Note(measured.message, "info" if measured.gpus else "warning"))
    gpus = measured.gpus if measured is not None else None
    share = divide(nodes, spec.resources, preflight.blueprint.image_size, gpus)
    pinned = pin_in_flight(attempt, share.slots)
    if pinned != share.slots:
        resources = spec.resources.model_copy(update={"trials_in_parallel": pinned})
        share = divide(nodes, resources, preflight.blueprint.image_size, gpus)
    log.info(
        "job %s: %d trainings at once, each with %d cores and %g GPUs",
        attempt.claim.job.id,
        share.workers,
        share.cpus,
        share.gpus,
    )
    attempt.write(lambda tx: attempts.pin_gpus(tx, attempt.claim.lease, share.gpus), "its share of a GPU")
    return executor_of(spec.resources.dispatcher, share)


def executor_of(dispatcher: Dispatcher, share: Share) -> RayExecutor:
    """Return the executor of a dispatcher."""
    if dispatcher == "actors":
        return RayExecutor(share)
    from workers.on_ray.tune import TuneExecutor  # ray.tune takes a second to import

    return TuneExecutor(share)


def pin_in_flight(attempt: Attempt, chosen: int) -> int:
    """Return the job's number of trials in flight: ``chosen``, or the number of an earlier attempt if one has begun."""
    what = "its number in flight"
    pinned = attempt.write(lambda tx: attempts.pin_in_flight(tx, attempt.claim.lease, chosen), what)
    if pinned != chosen:
        attempt.recorder(
            Note(
                f"{pinned} trials are in flight, as in the first attempt at this job, so that its search continues "
                f"with the same candidates; this machine would have chosen {chosen}"
            )
        )
    return pinned
