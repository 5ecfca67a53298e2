"""Searches as Ray Tune runs: a ``Searcher``, a ``Trainable`` and a ``Callback``, by Tune's public API only.

This is the dispatcher ``tune``, for those who want Tune's dashboard and logs. It finds the same trials as the pool of
actors (decision 028), which is the default because it is faster. Trainings outside of searches run on the pool. A trial
that runs out of memory is not retried with fewer trials on its device.
"""

import os
from collections.abc import Callable
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Generic, TypeVar

import ray
from ray import tune
from ray.tune.search import Searcher

from safs.events.kinds import EpochDone, Event, Note, Pulse, Report, Stage, TrialDone, TrialStarted, WorkerLost
from safs.execution.executor import EARLIER_ATTEMPT, Plan, Recall, failed_outcome, retry_note
from safs.execution.snapshot_cache import SnapshotCache
from safs.execution.work import Context
from safs.search.conductor import Conductor
from safs.trials import OUT_OF_MEMORY, Candidate, Outcome, Trial
from workers.job_spans import origin
from workers.on_ray.ask_ahead import AskAhead
from workers.on_ray.executor import RayExecutor
from workers.on_ray.orders import OutOfMemory, Step, TrainOrder, Unfinished
from workers.on_ray.retrying import MOST_EXCEPTIONS, MOST_LOSSES
from workers.on_ray.trial_actor import TrialActor

Value = TypeVar("Value")

ORDER, STEP, RAISED = "order", "step", "raised"
"""Keys of a Tune config and of a Tune result, beside the candidate's config and its ``loss`` and ``accuracy``."""


class TuneExecutor(RayExecutor):
    """A ``RayExecutor`` whose searches are Tune runs."""

    def search(
        self, stage: Stage, conductor: Conductor, plan: Plan, context: Context, report: Report, recall: Recall
    ) -> list[Trial]:
        self._pool.close()  # Its actors hold the cores that Tune's need.
        shared = self._store.share(context)

        def order(candidate: Candidate, snapshot: "ray.ObjectRef[Any] | None") -> TrainOrder:
            return TrainOrder(shared, plan(candidate), keep=False, resume=snapshot, origin=origin(stage, candidate))

        with AskAhead(conductor) as asks:
            search = Search(stage, asks, order, report, recall)
            trials = search.run(self._trainable(), self._share.workers)
        self._pool = self._open()
        return trials

    def _trainable(self) -> Any:
        share = self._share
        bound = tune.with_parameters(OrderTrainable, device=share.device, threads=share.threads)
        return tune.with_resources(bound, {"cpu": share.cpus, "gpu": share.gpus})


class Parcel(Generic[Value]):
    """A value inside a Tune config or result. Tune keeps these to its end; an emptied parcel holds nothing."""

    def __init__(self, value: Value) -> None:
        self._value: Value | None = value

    def get(self) -> Value:
        """Return the value of a parcel that has not been emptied."""
        assert self._value is not None
        return self._value

    def empty(self) -> None:
        """Drop the value, in all copies within this process."""
        self._value = None

    def __deepcopy__(self, memo: Any) -> "Parcel[Value]":
        return self


class OrderTrainable(tune.Trainable):
    """A Tune trial that carries out the order in its config, and retries it once if it raises.

    A result has ``loss`` and ``accuracy`` of the last epoch for Tune's tables (infinity and 0 before the first), and a
    ``Step`` in a ``Parcel``.
    """

    def setup(self, config: dict[str, Any], device: str = "cpu", threads: int = 1) -> None:
        self._actor = TrialActor(device, threads)
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._next: TrainOrder | None = new_config[ORDER].get()
        self._order, self._exceptions = self._next, 0
        self._figures = {"loss": inf, "accuracy": 0.0}
        return True

    def step(self) -> dict[str, Any]:
        try:
            step = self._actor.step(self._next)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            self._exceptions += 1
            if self._exceptions > MOST_EXCEPTIONS:
                return self._figures | {STEP: Parcel(Step(done=True, answer=failed_outcome(reason))), "done": True}
            self._next = self._order
            return self._figures | {STEP: Parcel(Step()), RAISED: reason, "done": False}
        self._next = None
        if step.epochs:
            last = step.epochs[-1]
            self._figures = {"loss": last.validation_loss, "accuracy": last.validation_accuracy}
        return self._figures | {STEP: Parcel(step), "done": step.done}


class _Unsaved:
    """Pickles as nothing. Tune saves its searcher and callbacks to restore a run; a job is restored from the store."""

    def __reduce__(self) -> tuple[type[object], tuple[()]]:
        return object, ()


class Search(_Unsaved, Searcher):
    """Proposes a conductor's candidates to Tune, and reports what becomes of them.

    Args:
        order: makes the order of a candidate, with the snapshot that it continues from.
    """

    def __init__(
        self,
        stage: Stage,
        asks: AskAhead,
        order: Callable[[Candidate, "ray.ObjectRef[Any] | None"], TrainOrder],
        report: Report,
        recall: Recall,
    ) -> None:
        super().__init__(metric="loss", mode="min")
        self._stage, self._asks, self._order, self._recall = stage, asks, order, recall
        self._report_event = report
        self._interruption: Exception | None = None
        """The error of ``report`` that ended the run."""
        self._running: dict[str, tuple[Candidate, Parcel[TrainOrder]]] = {}
        """Tune's trial id -> candidate and order of each trial that has not ended."""
        self._snapshots: SnapshotCache[ray.ObjectRef[Any]] = SnapshotCache()
        self._trials: list[Trial] = []

    def run(self, trainable: Any, workers: int) -> list[Trial]:
        """Run the search with ``workers`` trials at once; return its trials by number."""
        # Environment variables that Tune documents. By default, Tune has one pending trial at a time, so its second
        # actor would start only once the first has started.
        os.environ |= {
            "TUNE_MAX_PENDING_TRIALS_PG": str(workers),
            "TUNE_DISABLE_SIGINT_HANDLER": "1",
            "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
            "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
        }
        with TemporaryDirectory(prefix="safs-tune-") as folder:
            tuner = tune.Tuner(
                trainable,
                tune_config=tune.TuneConfig(search_alg=self, num_samples=-1, reuse_actors=True),
                run_config=tune.RunConfig(
                    name=str(self._stage),
                    storage_path=str(Path(folder)),
                    callbacks=[_Events(self)],
                    failure_config=tune.FailureConfig(max_failures=MOST_LOSSES),
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                    verbose=0,
                ),
            )
            try:
                tuner.fit()
            except Exception:
                if self._interruption is not None:  # Tune wraps what a callback raises.
                    raise self._interruption from None
                raise
        return sorted(self._trials, key=lambda trial: trial.candidate.number)

    def suggest(self, trial_id: str) -> Any:
        """Return the next candidate's config with its order; None if none is ready; FINISHED after the last."""
        while (candidate := self._asks.next()) is not None:
            if (outcome := self._recall(candidate)) is None:
                order = Parcel(self._order(candidate, self._snapshots.take(candidate)))
                self._running[trial_id] = candidate, order
                return {**candidate.config, ORDER: order}
            self._end(candidate, outcome, EARLIER_ATTEMPT)
        return Searcher.FINISHED if self._asks.finished else None

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Do nothing: the callback sees the same result."""

    def save(self, checkpoint_path: str) -> None:
        """Do nothing, since a job is restored from the store."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing, since a job is restored from the store."""

    def pulse(self) -> None:
        """Report that the search goes on; raises if the run must end."""
        self._report(Pulse())

    def started(self, trial_id: str) -> None:
        """Report that a trial has started."""
        self._report(TrialStarted(self._stage, self._running[trial_id][0]))

    def advanced(self, trial_id: str, result: dict[str, Any]) -> None:
        """Report the epochs of a result, and the trial's end if it has ended."""
        candidate, order = self._running[trial_id]
        parcel: Parcel[Step] = result[STEP]
        step = parcel.get()
        parcel.empty()
        for metrics in step.epochs:
            self._report(EpochDone(self._stage, candidate.number, metrics))
        if RAISED in result:
            self._report(retry_note(f"trial {candidate.number} of the stage {self._stage}", result[RAISED]))
        if step.done:
            del self._running[trial_id]
            order.empty()
            outcome = _outcome(step.answer)
            if isinstance(step.answer, Unfinished):  # Stored first: the strategy may continue the trial at once.
                self._snapshots.put(Trial(candidate, outcome), step.answer.snapshot, step.answer.size_bytes)
            self._end(candidate, outcome)

    def lost(self, trial_id: str, *, final: bool) -> None:
        """Report a lost worker; after the last retry, it is the trial's outcome."""
        candidate, order = self._running[trial_id]
        if final:
            del self._running[trial_id]
            order.empty()
            self._end(candidate, failed_outcome(f"its worker was lost {MOST_LOSSES + 1} times"))
            return
        self._report(WorkerLost(self._stage, candidate.number, 0.0))
        what = f"trial {candidate.number} of the stage {self._stage}"
        self._report(Note(f"The worker of {what} was lost, so it is run again", "warning"))

    def _report(self, event: Event) -> None:
        try:
            self._report_event(event)
        except Exception as error:
            self._interruption = error
            raise

    def _end(self, candidate: Candidate, outcome: Outcome, recalled: str | None = None) -> None:
        self._trials.append(Trial(candidate, outcome))
        self._asks.done(candidate.number, outcome)
        self._report(TrialDone(self._stage, candidate, outcome, recalled))


class _Events(_Unsaved, tune.Callback):
    """Passes Tune's events to a search."""

    def __init__(self, search: Search) -> None:
        self._search = search

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._search.pulse()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._search.started(trial.trial_id)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self._search.advanced(trial.trial_id, result)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._search.lost(trial.trial_id, final=False)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._search.lost(trial.trial_id, final=True)


def _outcome(answer: Any) -> Outcome:
    match answer:
        case Unfinished(outcome):
            return outcome
        case OutOfMemory(reason):
            return Outcome(inf, error=f"{OUT_OF_MEMORY}: {reason}")
        case _:
            assert isinstance(answer, Outcome)
            return answer
