"""Trainings on Ray: searches by Ray Tune with reused actors, single trainings and evaluations as tasks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import ray
import torch
from ray import tune
from ray.exceptions import RayError

from safs.data import Split
from safs.events import EpochDone, Pulse, Report, Stage, TrialDone, TrialStarted
from safs.execution import NamedTraining, Plan
from safs.search.conductor import Conductor
from safs.training.evaluate import Evaluation
from safs.trainings import Blueprint, Context, Network, Trained, Training, TrainingRun, score
from safs.trials import EpochMetrics, Outcome, Trial
from workers import ray_tune
from workers.capacity import Share
from workers.ray_shared import ObjectStore, SharedContext, SharedSplit, unpack
from workers.ray_trial import SLICE_S, RayTrial

POLL_S = 0.2
"""How often a wait for tasks looks up, so that ``report`` can end the run."""


class RayExecutor:
    """Runs trainings on the Ray that ``ray.init`` has connected this process to.

    Args:
        share: what one training gets of the cluster, and how many run at once.
    """

    def __init__(self, share: Share) -> None:
        self._share = share
        self._store = ObjectStore()

    @property
    def slots(self) -> int:
        return self._share.slots

    def search(self, stage: Stage, conductor: Conductor, plan: Plan, context: Context, report: Report) -> list[Trial]:
        bound = RayTrial.bind(self._store.share(context), self._share.device, self._share.threads)
        resources = {"cpu": self._share.cpus, "gpu": self._share.gpus}
        return ray_tune.search(tune.with_resources(bound, resources), self._share.slots, stage, conductor, plan, report)

    def train(
        self, stage: Stage, trainings: Sequence[NamedTraining], context: Context, report: Report
    ) -> list[Trained]:
        shared = self._store.share(context)
        task = ray.remote(_train).options(**self._task_options(), num_returns="streaming")
        streams = [
            _Stream(named, task.remote(shared, named.training, self._share.device, self._share.threads))
            for named in trainings
        ]
        try:
            _follow(stage, streams, report)
        finally:
            for stream in streams:
                if stream.trained is None:
                    ray.cancel(stream.items, force=True)
        return [stream.result() for stream in streams]

    def evaluate(
        self, blueprint: Blueprint, networks: Sequence[Network], split: Split, batch_size: int
    ) -> list[Evaluation]:
        shared = self._store.share_split(split)
        task = ray.remote(_evaluate).options(**self._task_options())
        found: list[Evaluation] = ray.get(
            [
                task.remote(blueprint, network, shared, batch_size, self._share.device, self._share.threads)
                for network in networks
            ]
        )
        return found

    def _task_options(self) -> dict[str, Any]:
        return {"num_cpus": self._share.cpus, "num_gpus": self._share.gpus, "max_retries": 0}


@dataclass(slots=True)
class _Stream:
    """A training that runs in a task: its epochs as they come, then what it trained."""

    named: NamedTraining
    items: Any
    started: bool = False
    trained: Trained | None = None

    def result(self) -> Trained:
        assert self.trained is not None
        return self.trained


def _follow(stage: Stage, streams: Sequence[_Stream], report: Report) -> None:
    """Reports what the streams bring until all have ended."""
    while running := {stream.items: stream for stream in streams if stream.trained is None}:
        report(Pulse())
        ready, _ = ray.wait(list(running), timeout=POLL_S, fetch_local=False)
        for items in ready:
            _take(stage, running[items], report)


def _take(stage: Stage, stream: _Stream, report: Report) -> None:
    candidate = stream.named.candidate
    try:
        item: tuple[EpochMetrics, ...] | Trained = ray.get(next(stream.items))
    except RayError as error:
        reason = str(error).strip().splitlines()[-1]
        item = Trained(Outcome(inf, error=f"the training's process failed: {reason}"), None)
    if not stream.started:
        stream.started = True
        report(TrialStarted(stage, candidate))
    if isinstance(item, Trained):
        stream.trained = item
        report(TrialDone(stage, candidate, item.outcome))
    else:
        for metrics in item:
            report(EpochDone(stage, candidate.number, metrics))


def _train(
    shared: SharedContext, training: Training, device: str, threads: int
) -> Iterator[tuple[EpochMetrics, ...] | Trained]:
    torch.set_num_threads(threads)
    run = TrainingRun(shared.open(), training, device)
    yield ()
    while not run.finished:
        yield run.advance(SLICE_S)
    yield run.trained()


def _evaluate(
    blueprint: Blueprint, network: Network, shared: SharedSplit, batch_size: int, device: str, threads: int
) -> Evaluation:
    torch.set_num_threads(threads)
    return score(blueprint, network, unpack(shared), batch_size, device)
