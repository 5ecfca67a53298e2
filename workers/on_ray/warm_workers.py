"""The workers of a runner, which it keeps between jobs: a new worker takes seconds to start."""

import time
from collections.abc import Callable, Sequence
from math import inf
from typing import Any

import ray

from workers.on_ray.actor_pool import ActorPool, Worker
from workers.on_ray.capacity import Share
from workers.on_ray.trial_actor import TrialActor


def start_pool(
    share: Share,
    kept: Sequence[Worker] = (),
    *,
    growth_bytes: float = inf,
    on_started: Callable[[int], None] = lambda count: None,
) -> ActorPool:
    """Start the workers of a share, except the kept ones; the arguments are those of ``ActorPool``."""
    actor = ray.remote(num_cpus=share.cpus, num_gpus=share.gpus)(TrialActor)

    def start_actor() -> Any:
        return actor.remote(share.device, share.threads)

    return ActorPool(start_actor, share.workers, kept, growth_bytes=growth_bytes, on_started=on_started)


class WarmWorkers:
    """Keeps workers after a job for the next job with the same share and owner.

    Args:
        idle_s: seconds without a job after which the workers end; 0 keeps none.
        orders: number of orders after which a worker ends with its job.
        growth_bytes: growth of a worker's memory since its start beyond which it is replaced.
    """

    def __init__(self, idle_s: float, orders: int, growth_bytes: float) -> None:
        self._idle_s, self._orders, self._growth_bytes = idle_s, orders, growth_bytes
        self._pool: ActorPool | None = None
        """The pool that was opened last."""
        self._kept: list[Worker] = []
        self._fits: object = None
        """Properties of a share and an owner that the kept workers were started for."""
        self._kept_since_s = 0.0

    def fit(self, share: Share, owner: str | None) -> bool:
        """Return True if the kept workers can carry out orders of this owner with this share."""
        return bool(self._kept) and self._fits == _properties(share, owner)

    def open(
        self, share: Share, owner: str | None, on_started: Callable[[int], None] = lambda count: None
    ) -> ActorPool:
        """Return a pool for a job, with the kept workers if they fit; the others end."""
        if not self.fit(share, owner):
            self.close()
        kept, self._kept = self._kept[: share.workers], self._kept[share.workers :]
        self.close()
        self._fits = _properties(share, owner)
        self._pool = start_pool(share, kept, growth_bytes=self._growth_bytes, on_started=on_started)
        return self._pool

    def keep(self) -> None:
        """Take the workers of the last pool over; those that have had enough orders end."""
        pool, self._pool = self._pool, None
        assert pool is not None
        if not self._idle_s:
            return
        for worker in pool.release():
            if worker.orders < self._orders:
                self._kept.append(worker)
            else:
                ray.kill(worker.actor)
        self._kept_since_s = time.monotonic()

    def close_idle(self) -> None:
        """End the kept workers if they have had no job for too long."""
        if self._kept and time.monotonic() - self._kept_since_s >= self._idle_s:
            self.close()

    def close(self) -> None:
        """End the kept workers."""
        for worker in self._kept:
            ray.kill(worker.actor)
        self._kept = []

    def __len__(self) -> int:
        return len(self._kept)


def _properties(share: Share, owner: str | None) -> object:
    return share.cpus, share.gpus, owner
