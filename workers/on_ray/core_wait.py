"""The wait of a job for cores of a Ray cluster that several runners share; see decision 031.

Ray starts actors in the order in which it learns of them, and a job that was claimed first may ask for its workers
last. So a job asks Ray only when no job that was claimed earlier waits, by the order in the database.
"""

import time
from collections.abc import Callable

import ray

from safs.events.kinds import Note
from store import core_queue
from store.session import Transaction
from workers.attempt import Attempt
from workers.on_ray.capacity import Share
from workers.on_ray.warm_workers import WarmWorkers


class CoreWait:
    """A job's place in the queue for cores. It does nothing if the runner has a Ray of its own.

    Args:
        share: the resources that the job is expected to ask for.
        workers: workers that the runner has kept. They end while other jobs wait for their cores.
    """

    def __init__(self, attempt: Attempt, share: Share, workers: WarmWorkers) -> None:
        self._attempt, self._share, self._workers = attempt, share, workers
        self._lease = attempt.claim.lease
        self._in_queue = attempt.claim.job.cores_awaited is not None
        self._is_waiting = False

    def for_turn(self) -> None:
        """Return once no earlier job waits and the cores of one worker are free.

        Raises what the recorder's check raises, if the run must end.
        """
        shown: int | None = None
        while self._in_queue:
            self._attempt.recorder.check()
            place = self._attempt.write(lambda tx: core_queue.place(tx, self._lease), "its place in the queue")
            if not place.waiting and (self._workers or _has_room(self._share)):
                return
            self._workers.close()
            if shown != place.before:
                shown = place.before
                self._show(place.before)
            time.sleep(self._attempt.settings.poll_s)

    def worker_started(self, size: int, count: int) -> None:
        """Record that ``count`` of ``size`` workers have started: with all of them, the job leaves the queue."""
        if self._in_queue and count >= size:
            self._write(lambda tx: core_queue.leave(tx, self._lease))
            self._in_queue = self._is_waiting = False
        elif self._is_waiting:
            self._write(lambda tx: core_queue.wait(tx, self._lease, cores=0, before=0))
            self._is_waiting = False

    def _show(self, before: int) -> None:
        cores = self._share.cpus * self._share.workers
        self._write(lambda tx: core_queue.wait(tx, self._lease, cores, before))
        self._is_waiting = True
        behind = "1 job" if before == 1 else f"{before} jobs"
        self._attempt.recorder(
            Note(f"Waiting for {cores} core{'s' * (cores != 1)} of the cluster; {behind} before it.")
        )

    def _write(self, change: Callable[[Transaction], None]) -> None:
        self._attempt.write(change, "its place in the queue")


def _has_room(share: Share) -> bool:
    """Return True if the cluster has as many cores and GPUs free as one worker takes."""
    free = ray.available_resources()
    return bool(free.get("CPU", 0.0) >= share.cpus and free.get("GPU", 0.0) >= share.gpus)
