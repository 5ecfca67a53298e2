"""Ray Tune as a pool of warm workers: one run for a whole job, fed order by order through its Searcher.

Starting an actor takes seconds (a process that imports torch), so the actors of a job are reused, by its dense
training, both searches and the final trainings alike. Tune runs in a thread of its own; orders go in and messages come
out by queues.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any, TypeAlias

import ray
from ray import cloudpickle, tune
from ray.exceptions import ObjectLostError, RayActorError, RayTaskError
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from safs.trials import EpochMetrics
from workers.orders import Order, PauseOrder

log = logging.getLogger(__name__)

SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0
MOST_ENDED = 20
"""Trials that Tune keeps although they have ended."""
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


@dataclass(frozen=True, slots=True)
class Started:
    ticket: int


@dataclass(frozen=True, slots=True)
class Advanced:
    ticket: int
    epochs: tuple[EpochMetrics, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    ticket: int
    answer: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """The order's process raised, or its worker was lost."""

    ticket: int
    reason: str
    lost: bool = False
    """Whether the worker was lost: its process died, or its node."""
    final: bool = False
    """Whether there is no point in another try."""


Message: TypeAlias = Started | Advanced | Answered | Failed


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
        self._events = _Events(self._messages)
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
            except _Closing:
                pass
            except Exception as error:
                self._messages.put(error)

    def _tuner(self, folder: str) -> tune.Tuner:
        return tune.Tuner(
            self._trainable,
            tune_config=tune.TuneConfig(
                search_alg=_Orders(self._orders, self._events, self._slots),
                scheduler=self._events.controller,
                num_samples=-1,
                reuse_actors=True,
                trial_name_creator=_trial_name,
                trial_dirname_creator=_trial_name,
            ),
            run_config=tune.RunConfig(
                name="job",
                storage_path=folder,
                callbacks=[self._events, _Silent()],
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
                log_to_file=False,
            ),
        )


class _Closing(Exception):
    """Ends Tune's run from within, before it saves what nobody will restore."""


class _Unsaved:
    """Pickles as nothing. Tune keeps copies of searcher and callbacks to restore from; what we restore from is SQL."""

    def __reduce__(self) -> tuple[type[object], tuple[()]]:
        return object, ()


class _Events(_Unsaved, tune.Callback):
    """Turns what Tune says of trials into messages; pauses are not spoken of."""

    def __init__(self, messages: SimpleQueue[Message | Exception]) -> None:
        self._messages = messages
        self.closing = False
        self.controller = _Controller()
        self.tickets: dict[str, int | None] = {}
        """Trial id -> ticket of trials that Tune has and that have not ended; None for a pause."""

    def on_step_begin(self, iteration: int, trials: list[TuneTrial], **info: Any) -> None:
        if self.closing:
            self.controller.kill_workers()
            raise _Closing

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        if ticket := self.tickets[trial.trial_id]:
            self._messages.put(Started(ticket))

    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: dict[str, Any], **info: Any
    ) -> None:
        ticket = self.tickets[trial.trial_id]
        if result["answer"] is not None:
            del self.tickets[trial.trial_id]
        if ticket is None:
            return
        if result["epochs"]:
            self._messages.put(Advanced(ticket, result["epochs"]))
        if result["answer"] is not None:
            self._messages.put(Answered(ticket, result["answer"].take()))

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        # Gone already: what failed came after the answer.
        if ticket := self.tickets.pop(trial.trial_id, None):
            self._messages.put(_failed(ticket, trial))


class _Orders(_Unsaved, Searcher):
    """Hands Tune the orders as they come, and pauses while there are fewer than slots: see ``PauseOrder``."""

    def __init__(self, orders: SimpleQueue[tuple[int, Order]], events: _Events, slots: int) -> None:
        super().__init__(metric="training_iteration", mode="min")
        self._orders, self._events, self._slots = orders, events, slots
        self._pause_s = SHORTEST_PAUSE_S

    def suggest(self, trial_id: str) -> Any:
        try:
            ticket, order = self._orders.get_nowait()
        except Empty:
            if len(self._events.tickets) >= self._slots:
                return None
            self._events.tickets[trial_id] = None
            pause = PauseOrder(self._pause_s)
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            return {"order": pause}
        self._pause_s = SHORTEST_PAUSE_S
        self._events.tickets[trial_id] = ticket
        return {"order": order}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing: ``_Events`` tells the answer, since only it learns why a trial failed."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing, see ``_Unsaved``."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, see ``_Unsaved``."""


class _Silent(_Unsaved, TrialProgressCallback):
    """In the place of Tune's own, which it adds otherwise: that one keeps every trial, and formats every result."""

    def on_trial_result(self, *args: Any, **info: Any) -> None:
        """Nothing."""

    def on_trial_error(self, *args: Any, **info: Any) -> None:
        """Nothing."""

    def on_trial_complete(self, *args: Any, **info: Any) -> None:
        """Nothing."""


class _Controller(_Unsaved, FIFOScheduler):
    """What we ask of Tune's controller. A scheduler is the part of Tune that is handed it.

    It lets go of trials that have ended, in the order in which they came otherwise. Tune keeps them all, to restore
    from, and looks through them at every step: with thousands of trials and pauses a job would get slower, and its
    process larger. What is touched here is private, one more reason why Ray's version is pinned.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # its base has no types
        self._controller: Any = None

    def on_trial_add(self, tune_controller: Any, trial: TuneTrial) -> None:
        self._controller = tune_controller._tune_controller  # Within a wrapper that warns of what is private.

    def on_trial_complete(self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]) -> None:
        ended = tune_controller._stopped_trials | tune_controller._failed_trials
        if len(ended) < MOST_ENDED:
            return
        tune_controller._trials[:] = [one for one in tune_controller._trials if one not in ended]
        tune_controller._stopped_trials.clear()
        tune_controller._failed_trials.clear()
        tune_controller._trials_to_cache -= ended

    def kill_workers(self) -> None:
        """Ends all workers at once. Asked in good order, each would end with its step or its start: maybe never."""
        if self._controller is not None:
            for worker, _ in self._controller._actor_manager._live_actors_to_ray_actors_resources.values():
                ray.kill(worker)


def _failed(ticket: int, trial: TuneTrial) -> Failed:
    """Why the trial failed, in one line. Tune has it only as a file yet."""
    if trial.pickled_error_file is None:
        return Failed(ticket, "its worker was lost", lost=True)
    with Path(trial.pickled_error_file).open("rb") as file:
        error = cloudpickle.load(file)
    if not isinstance(error, RayTaskError):
        return Failed(ticket, str(error).strip().partition("\n")[0], lost=isinstance(error, RayActorError))
    log.warning("a trial raised: %s", error)
    cause = error.cause
    return Failed(ticket, f"{type(cause).__name__}: {cause}", lost=isinstance(cause, ObjectLostError))


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
