"""The parts of Ray Tune that are ours: a searcher that hands out orders, a callback that tells what becomes of them, a
scheduler that has the controller.
"""

import logging
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import ray
from ray import cloudpickle, tune
from ray.exceptions import ObjectLostError, RayActorError, RayTaskError
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from workers.on_ray.messages import Advanced, Answered, Failed, Message, Started
from workers.on_ray.orders import Order, PauseOrder

log = logging.getLogger(__name__)

SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0
MOST_ENDED = 20
"""Trials that Tune keeps although they have ended."""


class Closing(Exception):
    """Ends Tune's run from within, before it saves what nobody will restore."""


class Unsaved:
    """Pickles as nothing. Tune keeps copies of searcher and callbacks to restore from; what we restore from is SQL."""

    def __reduce__(self) -> tuple[type[object], tuple[()]]:
        return object, ()


class Events(Unsaved, tune.Callback):
    """Turns what Tune says of trials into messages; pauses are not spoken of."""

    def __init__(self, messages: SimpleQueue[Message | Exception]) -> None:
        self._messages = messages
        self.closing = False
        self.controller = Controller()
        self.tickets: dict[str, int | None] = {}
        """Trial id -> ticket of trials that Tune has and that have not ended; None for a pause."""

    def on_step_begin(self, iteration: int, trials: list[TuneTrial], **info: Any) -> None:
        if self.closing:
            self.controller.kill_workers()
            raise Closing

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


class Orders(Unsaved, Searcher):
    """Hands Tune the orders as they come, and pauses while there are fewer than slots: see ``PauseOrder``."""

    def __init__(self, orders: SimpleQueue[tuple[int, Order]], events: Events, slots: int) -> None:
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
        """Nothing: ``Events`` tells the answer, since only it learns why a trial failed."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing, see ``Unsaved``."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, see ``Unsaved``."""


class Silent(Unsaved, TrialProgressCallback):
    """In the place of Tune's own, which it adds otherwise: that one keeps every trial, and formats every result."""

    def on_trial_result(self, *args: Any, **info: Any) -> None:
        """Nothing."""

    def on_trial_error(self, *args: Any, **info: Any) -> None:
        """Nothing."""

    def on_trial_complete(self, *args: Any, **info: Any) -> None:
        """Nothing."""


class Controller(Unsaved, FIFOScheduler):
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
