"""A search under Ray Tune: our ask and tell as its Searcher, trials as reused actors, its callbacks as our events."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from tempfile import TemporaryDirectory
from typing import Any

from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.search import Searcher

from safs.events import EpochDone, Event, Pulse, Report, Stage, TrialDone, TrialStarted
from safs.execution import Plan
from safs.search.conductor import Conductor
from safs.trials import Candidate, Outcome, Trial
from workers.ask_ahead import AskAhead

# No log files of trials, no snapshots of the experiment (SQL has the outcomes), no handler that swallows Ctrl-C;
# a hung actor is killed soon after a run has been ended.
_TUNE_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "TUNE_FORCE_TRIAL_CLEANUP_S": "10",
    "RAY_AIR_NEW_OUTPUT": "0",
}


def search(trainable: Any, slots: int, stage: Stage, conductor: Conductor, plan: Plan, report: Report) -> list[Trial]:
    """Judges the conductor's candidates with ``trainable``; trials in the order of their numbers.

    Args:
        slots: how many trials run at once.
        trainable: a ``tune.Trainable`` class with its resources and parameters bound. Its config has ``training``;
            its last result has ``outcome``, every result ``epochs``.

    Raises:
        Interrupted: what ``report`` raised; running trials have been ended.
    """
    # By default a searcher may have one trial pending. While the second actor still starts, the first then takes over
    # the trial that it starts for, and the whole search goes on with one actor.
    environment = _TUNE_ENVIRONMENT | {"TUNE_MAX_PENDING_TRIALS_PG": str(slots)}
    with (
        _environment(environment),
        TemporaryDirectory(prefix="safs-tune-") as folder,
        AskAhead(conductor) as asks,
    ):
        events = _Events(stage, asks, report)
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=_Asking(asks, plan, events),
                num_samples=-1,
                reuse_actors=True,
                trial_name_creator=_trial_name,
                trial_dirname_creator=_trial_name,
            ),
            run_config=tune.RunConfig(
                name=stage.value,
                storage_path=folder,
                callbacks=[events],
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
                log_to_file=False,
            ),
        )
        try:
            tuner.fit()
        except tune.TuneError:
            # Tune wraps what a callback raises, its traceback as text.
            if events.interrupted is None:
                raise
            raise events.interrupted from None
        return sorted(events.trials, key=lambda trial: trial.candidate.number)


class _Unsaved:
    """Pickles as nothing. Tune keeps copies of searcher and callbacks to restore from; what we restore from is SQL."""

    def __reduce__(self) -> tuple[type[object], tuple[()]]:
        return object, ()


class _Events(_Unsaved, tune.Callback):
    """Turns what Tune says into events, and tells outcomes."""

    def __init__(self, stage: Stage, asks: AskAhead, report: Report) -> None:
        self._stage, self._asks, self._to = stage, asks, report
        self.interrupted: Exception | None = None
        """What ``report`` raised."""
        self.candidates: dict[str, Candidate] = {}
        self.trials: list[Trial] = []

    def on_step_begin(self, iteration: int, trials: list[TuneTrial], **info: Any) -> None:
        self._report(Pulse())

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        self._report(TrialStarted(self._stage, self.candidates[trial.trial_id]))

    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: dict[str, Any], **info: Any
    ) -> None:
        for metrics in result["epochs"]:
            self._report(EpochDone(self._stage, self.candidates[trial.trial_id].number, metrics))
        if result["outcome"] is not None:
            self._done(trial, result["outcome"])

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        lines = str(trial.get_pickled_error() or "it was lost").strip().splitlines()
        self._done(trial, Outcome(inf, error=f"the trial's process failed: {lines[-1]}"))

    def _report(self, event: Event) -> None:
        try:
            self._to(event)
        except Exception as error:
            self.interrupted = error
            raise

    def _done(self, trial: TuneTrial, outcome: Outcome) -> None:
        candidate = self.candidates[trial.trial_id]
        self._asks.done(candidate.number, outcome)
        self.trials.append(Trial(candidate, outcome))
        self._report(TrialDone(self._stage, candidate, outcome))


class _Asking(_Unsaved, Searcher):
    """Hands Tune the candidates that are ready; None while outcomes are awaited."""

    def __init__(self, asks: AskAhead, plan: Plan, events: _Events) -> None:
        super().__init__(metric="training_iteration", mode="min")
        self._asks, self._plan, self._events = asks, plan, events

    def suggest(self, trial_id: str) -> Any:
        candidate = self._asks.next()
        if candidate is None:
            return Searcher.FINISHED if self._asks.finished else None
        self._events.candidates[trial_id] = candidate
        return {"training": self._plan(candidate)}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing: ``_Events`` tells the outcome, since only it learns why a trial failed."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing, see ``_Unsaved``."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, see ``_Unsaved``."""


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
