"""One trace over several processes; nothing but the caller's own context without the SDK."""

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from telemetry import tracing

CALLERS = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_without_the_sdk_a_callers_context_is_passed_on_as_it_came() -> None:
    with tracing.span("job", parent=CALLERS):
        assert tracing.traceparent() == CALLERS
    assert tracing.traceparent() is None


@pytest.mark.parametrize("parent", ["", "nonsense", CALLERS[:-1], "00-" + 32 * "0" + CALLERS[35:], None])
def test_without_the_sdk_what_is_no_trace_context_is_no_trace(parent: str | None) -> None:
    with tracing.span("job", parent=parent):
        assert tracing.traceparent() is None


def test_spans_of_several_processes_are_one_trace(spans: InMemorySpanExporter) -> None:
    with tracing.span("POST /v1/jobs", parent=CALLERS):
        stored = tracing.traceparent()
    with tracing.span("job", parent=stored, job="job_1", attempt=None), tracing.span("stage", stage="tune"):
        ordered = tracing.traceparent()
    tracing.record_span("trial", parent=ordered, began_ns=1_000, error=None, stage="tune", trial=3)

    post, stage, job, trial = spans.get_finished_spans()
    assert {f"{span.context.trace_id:032x}" for span in (post, stage, job, trial)} == {CALLERS.split("-")[1]}
    assert [span.parent.span_id for span in (job, stage, trial) if span.parent] == [
        post.context.span_id,
        job.context.span_id,
        stage.context.span_id,
    ]
    assert dict(job.attributes or {}) == {"safs.job": "job_1"}


def test_what_is_no_trace_context_begins_a_trace_of_its_own(spans: InMemorySpanExporter) -> None:
    with tracing.span("around"), tracing.span("job", parent="nonsense"):
        pass

    job, around = spans.get_finished_spans()
    assert job.parent is None
    assert job.context.trace_id != around.context.trace_id


def test_what_fails_says_why(spans: InMemorySpanExporter) -> None:
    with tracing.span("job"):
        tracing.fail("the data are gone")

    (job,) = spans.get_finished_spans()
    assert (job.status.status_code, job.status.description) == (StatusCode.ERROR, "the data are gone")


def test_what_is_told_afterwards_began_when_it_did_and_says_why_it_broke(spans: InMemorySpanExporter) -> None:
    tracing.record_span("trial", parent=CALLERS, began_ns=1_000, error="the loss is not finite", trial=0)
    tracing.record_span("trial", parent=None, began_ns=1_000, error=None)

    (trial,) = spans.get_finished_spans()
    assert trial.start_time == 1_000
    assert (trial.status.status_code, trial.status.description) == (StatusCode.ERROR, "the loss is not finite")
