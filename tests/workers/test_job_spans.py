"""Spans of a job: its stages in the runner, its trials in any process."""

import pickle
from pathlib import Path
from threading import Event

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from safs.events.kinds import Event as JobEvent
from safs.events.kinds import Note, Stage, StageDone, StageStarted
from safs.trials import Candidate
from store import queue, statistics
from store.errors import LeaseLost
from store.records import Claim
from store.session import Database
from telemetry import tracing
from tests.pipeline.jobs import TINY
from tests.telemetry.conftest import spans
from workers.job_spans import StageSpans, origin, record_trial_span
from workers.runner import Runner
from workers.settings import WorkerSettings

__all__ = ["spans"]


def test_the_parent_of_a_trials_span_is_its_stage_and_that_of_a_stage_its_job(spans: InMemorySpanExporter) -> None:
    reported: list[JobEvent] = []
    with tracing.span("job"), StageSpans(reported.append) as report:
        report(StageStarted(Stage.TUNE, 1, 1))
        ordered = origin(Stage.TUNE, Candidate(4, {}, 1, 0))
        report(StageDone(Stage.TUNE, 1.0, "one trial"))
        report(Note("between the stages"))
        outside = tracing.traceparent()

    # The order is sent to another process as bytes.
    received = pickle.loads(pickle.dumps(ordered))  # noqa: S301 - bytes of our own
    record_trial_span(received, began_ns=1_000, error=None)

    stage, job, trial = spans.get_finished_spans()
    assert (stage.name, trial.name) == ("stage tune", "trial")
    assert stage.parent is not None
    assert stage.parent.span_id == job.context.span_id
    assert trial.parent is not None
    assert (trial.parent.span_id, trial.context.trace_id) == (stage.context.span_id, job.context.trace_id)
    assert dict(trial.attributes or {}) == {"safs.stage": "tune", "safs.trial": 4}
    assert outside is not None
    assert f"{job.context.span_id:016x}" in outside
    assert len(reported) == 3


def test_the_span_of_an_interrupted_stage_ends_with_the_error(spans: InMemorySpanExporter) -> None:
    def fail() -> None:
        with StageSpans(lambda _: None) as report:
            report(StageStarted(Stage.DENSE, 1, 1))
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError):
        fail()

    (stage,) = spans.get_finished_spans()
    assert stage.status.status_code is StatusCode.ERROR


def test_a_failed_job_is_a_span_of_the_trace_in_which_it_was_submitted(
    sqlite_database: Database, spans: InMemorySpanExporter, tmp_path: Path
) -> None:
    with sqlite_database.begin() as tx:
        gone = TINY | {"data": {"dataset": "npz", "path": "gone.npz"}}
        job = queue.submit(tx, gone, traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")

    Runner(WorkerSettings(home=tmp_path), sqlite_database, Event()).run_one()

    (span,) = spans.get_finished_spans()
    assert f"{span.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert dict(span.attributes or {}) == {"safs.job": job.id, "safs.attempt": 1}
    assert span.status.status_code is StatusCode.ERROR
    assert "gone.npz" in (span.status.description or "")


def test_a_lost_lease_is_counted_for_the_metrics(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(self: Runner, claim: Claim, *_: object) -> None:
        raise LeaseLost("another runner has it")

    monkeypatch.setattr(Runner, "_run", lose)
    with database.begin() as tx:
        queue.submit(tx, TINY)

    Runner(WorkerSettings(home=tmp_path), database, Event()).run_one()

    with database.read() as tx:
        assert statistics.read(tx).lease_losses == 1


def test_without_a_trace_an_order_carries_none_and_no_span_is_recorded() -> None:
    ordered = origin(Stage.TUNE, Candidate(0, {}, 1, 0))

    record_trial_span(ordered, began_ns=1_000, error=None)

    assert ordered.parent is None
