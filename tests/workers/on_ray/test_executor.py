from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from safs import data
from safs.events.kinds import EpochDone, Event, Stage, TrialDone
from safs.execution.executor import Executor, Plan, Task
from safs.execution.serial import SerialExecutor
from safs.execution.training import Training
from safs.execution.work import Context
from safs.networks import Blueprint
from safs.pipeline.result_stage import Result
from safs.pipeline.run import run_job
from safs.search.conductor import Conductor
from safs.search.random import RandomSearch
from safs.spec.data import DataSpec
from safs.spec.job import JobSpec
from safs.spec.training import Recipe
from safs.training.settings import TrainingData
from safs.trials import Candidate, Trial
from search_spaces import SPACES
from telemetry import tracing
from tests.pipeline.jobs import TINY
from tests.scripted import Scripted
from tests.telemetry.conftest import spans
from workers.job_spans import Origin
from workers.on_ray.actor_pool import ActorPool
from workers.on_ray.capacity import Share
from workers.on_ray.executor import RayExecutor
from workers.on_ray.orders import Order, TrainOrder

__all__ = ["spans"]

TWO_SLOTS = Share(slots=2, workers=2, cpus=1, gpus=0.0)
JOB: dict[str, Any] = TINY | {"model": {"architecture": "mlp"}}


def _run(executor: Executor, folder: Path, report: Any, changes: dict[str, Any] | None = None) -> Result:
    return run_job(
        JobSpec.model_validate(JOB | (changes or {})),
        spaces=SPACES,
        executor=executor,
        report=report,
        data_root=None,
        dense_weights=None,
        out_dir=folder,
    )


def _outcomes(events: list[Event]) -> list[tuple[Any, ...]]:
    done = [event for event in events if isinstance(event, TrialDone)]
    found = [(event.stage.value, event.candidate.number, event.candidate, event.outcome) for event in done]
    return [
        (stage, number, candidate, outcome.loss, outcome.metrics, len(outcome.curve))
        for stage, number, candidate, outcome in sorted(found, key=lambda item: item[:2])
    ]


def test_ray_proposes_the_same_candidates_and_finds_the_same_outcomes_as_one_process(
    executor: RayExecutor, tmp_path: Path
) -> None:
    on_ray: list[Event] = []
    in_process: list[Event] = []

    parallel = _run(executor, tmp_path / "ray", on_ray.append)
    threads = torch.get_num_threads()
    torch.set_num_threads(TWO_SLOTS.threads)
    try:
        serial = _run(SerialExecutor(slots=2), tmp_path / "serial", in_process.append)
    finally:
        torch.set_num_threads(threads)

    assert _outcomes(on_ray) == _outcomes(in_process)
    assert parallel.report["rows"] == serial.report["rows"]
    weights = "checkpoint.safetensors"
    assert (parallel.directory / weights).read_bytes() == (serial.directory / weights).read_bytes()


def test_a_trial_that_diverges_is_an_outcome_and_the_search_goes_on(executor: RayExecutor) -> None:
    rates = iter((1e-3, 1e30, 1e-3, 1e30))
    recipes = [Recipe(optimizer="sgd").model_copy(update={"learning_rate": rate}) for rate in rates]
    events: list[Event] = []

    trials = _search(executor, lambda candidate: Training({}, recipes[candidate.number], 1, 0), events.append)

    assert [trial.candidate.number for trial in trials] == [0, 1, 2, 3]
    assert ["not finite in epoch 1" in (trial.outcome.error or "") for trial in trials] == [False, True, False, True]
    assert len([event for event in events if isinstance(event, TrialDone)]) == 4


def test_a_promoted_trial_continues_from_its_snapshot_or_starts_again_if_that_is_gone(
    executor: RayExecutor,
) -> None:
    short = Candidate(0, {}, 1, seed=3, horizon=3)
    # Both continue the first trial. The second finds no snapshot, since a snapshot is dropped once it is taken.
    proposed = [short, replace(short, number=1, epochs=3, continues=0), replace(short, number=2, epochs=3, continues=0)]
    events: list[Event] = []

    def plan(candidate: Candidate) -> Training:
        return Training({}, Recipe(), 3, candidate.seed, until=candidate.epochs, leaves=True)

    conductor = Conductor(Scripted(proposed), window=1)
    trials = executor.search(
        Stage.ACTIVATIONS, conductor, plan, _context(), events.append, recall=lambda candidate: None
    )

    curves = [[astuple(metrics)[:-1] for metrics in trial.outcome.curve] for trial in trials]
    assert curves[1] == curves[2]
    assert curves[0] == curves[2][:1]
    epochs = [(event.trial, event.metrics.epoch) for event in events if isinstance(event, EpochDone)]
    assert epochs == [(0, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)]
    assert trials[1].outcome.metrics == trials[2].outcome.metrics


def test_orders_carry_their_stage_number_and_trace(
    executor: RayExecutor, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordered: list[TrainOrder] = []
    submit = ActorPool.submit

    def noted(self: ActorPool, order: Order) -> int:
        if isinstance(order, TrainOrder):
            ordered.append(order)
        return submit(self, order)

    def ignore(*_: object) -> None:
        """Nothing."""

    monkeypatch.setattr(ActorPool, "submit", noted)
    work = Task(Candidate(7, {}, 1, 0), Training({}, Recipe(), 1, 0))
    with tracing.span("stage activations"):
        _search(executor, lambda candidate: Training({}, Recipe(), 1, 0), ignore)
    with tracing.span("stage final"):
        executor.train(Stage.FINAL, [work], _context(), ignore, ignore)
    executor.train(Stage.FINAL, [work], _context(), ignore, ignore)

    ended = [span.context for span in spans.get_finished_spans()]
    search, final = (f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}" for span in ended)
    assert [order.origin for order in ordered] == [
        *(Origin(Stage.ACTIVATIONS, number, search) for number in range(4)),
        Origin(Stage.FINAL, 7, final),
        Origin(Stage.FINAL, 7, None),
    ]


def test_a_trial_that_raises_is_an_outcome_and_the_search_goes_on(executor: RayExecutor) -> None:
    # No search proposes an unknown operator; here it stands for a bug in a trial.
    assignments: list[dict[str, str]] = [{}, {"relu1": "no such operator"}, {}, {}]

    trials = _search(
        executor, lambda candidate: Training(assignments[candidate.number], Recipe(), 1, 0), lambda event: None
    )

    assert [trial.outcome.error is None for trial in trials] == [True, False, True, True]
    assert "unknown operator" in (trials[1].outcome.error or "")


def _search(executor: Executor, plan: Plan, report: Any) -> list[Trial]:
    space = SPACES.activations(["relu1", "relu2", "relu3", "relu4"], ["relu", "swish", "tanh"], 0)
    conductor = Conductor(RandomSearch(space, trials=4, epochs=1, seed=0), window=4)
    return executor.search(Stage.ACTIVATIONS, conductor, plan, _context(), report, recall=lambda candidate: None)


def _context() -> Context:
    splits = data.load(DataSpec(dataset="digits"), root=None, channels=1, image_size=28, seed=0)
    return Context(Blueprint("lenet5", 1, 28, 10), TrainingData(splits.train, splits.validation, 256))


@pytest.mark.exhaustive  # tests/execution has stacks in one process.
def test_a_search_in_stacks_finds_the_trials_of_a_search_without(executor: RayExecutor) -> None:
    operators = ("tanh", "swish", "relu", "elu", "gelu")
    proposed = [Candidate(number, {"relu1": name}, 1, seed=0) for number, name in enumerate(operators)]
    context = _context()

    def plan(candidate: Candidate) -> Training:
        return Training({site: str(name) for site, name in candidate.config.items()}, Recipe(), 1, candidate.seed)

    def found(share: Share) -> tuple[list[Trial], list[Event]]:
        events: list[Event] = []
        with replaced_share(executor, share):
            conductor = Conductor(Scripted(proposed, in_flight=4), window=4)
            trials = executor.search(Stage.ACTIVATIONS, conductor, plan, context, events.append, lambda _: None)
        return trials, events

    stacked, events = found(replace(TWO_SLOTS, stack=2))
    alone, _ = found(TWO_SLOTS)

    assert [trial.candidate for trial in stacked] == [trial.candidate for trial in alone] == proposed
    for one, other in zip(stacked, alone, strict=True):
        assert one.outcome.curve[0].train_loss == pytest.approx(other.outcome.curve[0].train_loss, rel=2e-3)
    done = [event.trial for event in events if isinstance(event, EpochDone)]
    assert sorted(done) == [0, 1, 2, 3, 4]


@contextmanager
def replaced_share(executor: RayExecutor, share: Share) -> Iterator[None]:
    """Let the executor form other stacks, on the workers that it has."""
    before, executor._share = executor._share, share
    try:
        yield
    finally:
        executor._share = before
