"""Ray Tune as a pool of warm workers: one run for a whole job, fed order by order through its Searcher.

Starting an actor takes seconds (a process that imports torch), so the actors of a job are reused, by its dense
training, both searches and the final trainings alike. Tune runs in a thread of its own; orders go in and messages come
out by queues.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

from ray import tune
from ray.tune.experiment import Trial as TuneTrial

from workers.on_ray.messages import Message
from workers.on_ray.orders import Order
from workers.on_ray.tune_parts import Closing, Events, Orders, Silent

log = logging.getLogger(__name__)

CLOSE_LIMIT_S = 20.0
"""For the end of a pool. It takes about a second, or ten where Ray has to be asked twice to end a worker."""

# No log files of trials, no snapshots of the experiment (SQL has the outcomes), no handler that swallows Ctrl-C;
# a hung actor is killed soon after a run has been ended.
_TUNE_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "TUNE_FORCE_TRIAL_CLEANUP_S": "10",
    "RAY_AIR_NEW_OUTPUT": "0",
}


class WorkerPool:
    """Workers that carry out orders, ``slots`` at once.

    Args:
        trainable: a ``tune.Trainable`` class with its resources and parameters bound, such as ``RayTrial``.
    """

    def __init__(self, trainable: Any, slots: int) -> None:
        self._trainable, self._slots = trainable, slots
        self._orders: SimpleQueue[tuple[int, Order]] = SimpleQueue()
        self._messages: SimpleQueue[Message | Exception] = SimpleQueue()
        self._tickets = 0
        self._events = Events(self._messages)
        self._thread = Thread(target=self._work, name="ray-tune", daemon=True)
        self._thread.start()

    def submit(self, order: Order) -> int:
        """Hands the order in; returns the ticket under which messages speak of it."""
        self._tickets += 1
        self._orders.put((self._tickets, order))
        return self._tickets

    def receive(self, timeout_s: float) -> list[Message]:
        """The messages that have come, in order; waits up to ``timeout_s`` for the first."""
        found: list[Message] = []
        try:
            message = self._messages.get(timeout=timeout_s)
            while True:
                if isinstance(message, Exception):
                    raise message
                found.append(message)
                message = self._messages.get_nowait()
        except Empty:
            return found

    def close(self) -> None:
        """Ends the workers, also those that hang in their work, and gives back what they held."""
        self._events.closing = True
        self._thread.join(CLOSE_LIMIT_S)
        if self._thread.is_alive():
            log.error("Ray Tune has not ended its workers within %g s; they may hold what they had", CLOSE_LIMIT_S)

    def _work(self) -> None:
        # By default a searcher may have one trial pending. While the second actor still starts, the first then takes
        # over the trial that it starts for, and the whole search goes on with one actor.
        environment = _TUNE_ENVIRONMENT | {"TUNE_MAX_PENDING_TRIALS_PG": str(self._slots)}
        with _environment(environment), TemporaryDirectory(prefix="safs-tune-") as folder:
            try:
                self._tuner(folder).fit()
            except Closing:
                pass
            except Exception as error:
                self._messages.put(error)

    def _tuner(self, folder: str) -> tune.Tuner:
        return tune.Tuner(
            self._trainable,
            tune_config=tune.TuneConfig(
                search_alg=Orders(self._orders, self._events, self._slots),
                scheduler=self._events.controller,
                num_samples=-1,
                reuse_actors=True,
                trial_name_creator=_trial_name,
                trial_dirname_creator=_trial_name,
            ),
            run_config=tune.RunConfig(
                name="job",
                storage_path=folder,
                callbacks=[self._events, Silent()],
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
                log_to_file=False,
            ),
        )


def _trial_name(trial: TuneTrial) -> str:
    return str(trial.trial_id)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
