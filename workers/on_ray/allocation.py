"""The resources of a job's trainings, and the part of that choice that its row keeps for later attempts."""

import logging
from collections.abc import Callable, Sequence
from functools import partial

from safs.events.kinds import Note
from safs.preflight import Preflight
from safs.spec.resources import Dispatcher
from store import attempts, core_queue
from store.session import Database
from workers.attempt import Attempt
from workers.on_ray.capacity import Node, Share, cluster_nodes, divide
from workers.on_ray.core_wait import CoreWait
from workers.on_ray.executor import RayExecutor
from workers.on_ray.gpu_share import Measured, measured_share, needs_measurement
from workers.on_ray.packing import OpenPool
from workers.on_ray.warm_workers import WarmWorkers, start_pool
from workers.settings import WorkerSettings

log = logging.getLogger(__name__)


class RayAllocation:
    """Opens the executors of a runner's jobs on this process's Ray, and keeps its workers between them.

    Args:
        cluster: address of the Ray cluster that this runner shares with others; None if it has a Ray of its own.
    """

    def __init__(self, settings: WorkerSettings, cluster: str | None) -> None:
        self.cluster = cluster
        self._workers = WarmWorkers(settings.worker_idle_s, settings.worker_orders, settings.worker_growth_bytes)

    def open(self, attempt: Attempt, preflight: Preflight) -> RayExecutor:
        """Return an executor with the number of workers and GPU shares that suit the job, once it may have them."""
        spec, recorder, owner = attempt.spec, attempt.recorder, attempt.claim.job.owner
        image_size, nodes = preflight.blueprint.image_size, cluster_nodes()
        share = divide(nodes, spec.resources, image_size)
        if not self._workers.fit(share, owner) or needs_measurement(spec, nodes):
            self._workers.close()
        wait = CoreWait(attempt, share, self._workers)
        wait.for_turn()
        measured = measured_share(spec, preflight.data, preflight.blueprint, nodes, recorder.check)
        if measured is not None:
            recorder(Note(measured.message, "info" if measured.gpus else "warning"))
        share = _pinned_share(attempt, nodes, image_size, measured)
        if not self._workers.fit(share, owner):
            recorder(Note(_starting(share)))
        open_pool = partial(self._workers.open, owner=owner, on_started=partial(wait.worker_started, share.workers))
        return executor_of(spec.resources.dispatcher, share, open_pool, self._workers.keep)

    def rest(self, database: Database) -> None:
        """End the workers between two jobs if they have been idle for too long, or if another job needs their cores.

        Raises:
            DatabaseUnavailable: the database is away.
        """
        self._workers.close_idle()
        if self._workers and self.cluster is not None:
            with database.read() as tx:
                waited_for = core_queue.is_waited_for(tx, self.cluster)
            if waited_for:
                self._workers.close()

    def close(self) -> None:
        """End the workers."""
        self._workers.close()


def executor_of(
    dispatcher: Dispatcher, share: Share, open_pool: OpenPool = start_pool, keep: Callable[[], None] = lambda: None
) -> RayExecutor:
    """Return the executor of a dispatcher; the arguments are those of ``RayExecutor``."""
    if dispatcher == "actors":
        return RayExecutor(share, open_pool, keep)
    from workers.on_ray.tune import TuneExecutor  # ray.tune takes a second to import

    return TuneExecutor(share, open_pool, keep)


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


def _starting(share: Share) -> str:
    """Return the message while the workers of a share start."""
    cores = f"{share.cpus} core{'s' * (share.cpus != 1)}" + (f" and {share.gpus:g} GPUs" if share.gpus else "")
    if share.workers == 1:
        return f"Starting a worker with {cores}."
    return f"Starting {share.workers} workers, each with {cores}."


def _pinned_share(attempt: Attempt, nodes: Sequence[Node], image_size: int, measured: Measured | None) -> Share:
    """Return the share of one training, with as many trials in flight as in the first attempt at the job."""
    given = attempt.spec.resources
    gpus, stack = (None, 1) if measured is None else (measured.gpus, measured.stack)
    share = divide(nodes, given, image_size, gpus, stack)
    pinned = pin_in_flight(attempt, share.slots)
    if pinned != share.slots:
        share = divide(nodes, given.model_copy(update={"trials_in_parallel": pinned}), image_size, gpus, stack)
    log.info(
        "job %s: %d trainings at once, each with %d cores and %g GPUs",
        attempt.claim.job.id,
        share.workers,
        share.cpus,
        share.gpus,
    )
    attempt.write(lambda tx: attempts.pin_gpus(tx, attempt.claim.lease, share.gpus), "its share of a GPU")
    return share
