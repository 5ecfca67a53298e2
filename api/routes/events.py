"""Events of a job, as pages and as a stream."""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from api import serializers
from api.conditional import as_json
from api.deps import CallerDep, Limit, Services, ServicesDep
from api.event_tail import Batch, EncodedEvent, Head
from api.problems import problem_responses
from api.schemas.events import EventPage
from store import events, jobs
from store.records import Event
from store.session import Database, Transaction

EVENT_STREAM = "text/event-stream"
MAX_EVENT_NUMBER = 2**31 - 1
EVENTS_PER_READ = 200
_KEEP_ALIVE = ": keep-alive\n\n"
_STREAM_DOC = (
    "With `Accept: text/event-stream`. Each event has `id` (its number), `event` (its kind) and `data` (an `Event` as "
    "JSON). Comments keep the connection alive. An `end` event without id closes the stream once the job has ended."
)

router = APIRouter(prefix="/v1/jobs/{job_id}/events", tags=["events"])


@router.get(
    "",
    response_model=EventPage,
    summary="List or stream a job's events",
    responses={
        200: {"content": {EVENT_STREAM: {"schema": {"type": "string", "description": _STREAM_DOC}}}},
        204: {"description": "The job has ended, and the stream was resumed after its last event."},
        **problem_responses("job_not_found", "invalid_request"),
    },
)
async def list_events(
    services: ServicesDep,
    caller: CallerDep,
    request: Request,
    job_id: str,
    after: Annotated[int, Query(ge=0, le=MAX_EVENT_NUMBER, description="Return only events with a higher number.")] = 0,
    kind: Annotated[
        list[str] | None,
        Query(max_length=20, description="Return only events of these kinds. A stream has events of all kinds."),
    ] = None,
    limit: Limit = 100,
    last_event_id: Annotated[
        str | None,
        Header(
            pattern=r"^[0-9]{0,10}$",
            description="`id` of the last event received, a number; a stream resumes after it.",
            examples=["17"],
        ),
    ] = None,
) -> Response:
    """Returns a page of events, or with `Accept: text/event-stream` a stream of server-sent events.

    Events are numbered from 1 without gaps, so a client that resumes after the last number it received misses none.

    The key is checked when a stream begins. A key that is revoked later is refused when the client reconnects."""
    if EVENT_STREAM not in request.headers.get("accept", ""):
        return await run_in_threadpool(_page, services.database, job_id, after, limit, kind or (), caller.visible_owner)
    last = min(int(last_event_id), MAX_EVENT_NUMBER) if last_event_id else None
    first = await run_in_threadpool(read_batch, services.database, job_id, last or after, caller.visible_owner)
    if last is not None and first.ended and not first.events:
        return Response(status_code=204)  # makes a browser's EventSource stop reconnecting
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(_stream(services, job_id, last or after), media_type=EVENT_STREAM, headers=headers)


def read_batch(database: Database, job_id: str, after: int, owner: str | None = None) -> Batch[Event]:
    """The next events of a job.

    The state is read before the events, so that no event can follow the last batch of a job that has ended.
    """

    def ask(tx: Transaction) -> Batch[Event]:
        ended = jobs.state_of(tx, job_id, owner).is_final
        found = events.page(tx, job_id, after, EVENTS_PER_READ)
        return Batch(found, ended=ended and len(found) < EVENTS_PER_READ)

    return database.query(ask)


def read_encoded(database: Database, job_id: str, after: int) -> Batch[EncodedEvent]:
    """``read_batch`` with events encoded as server-sent text."""
    batch = read_batch(database, job_id, after)
    return Batch([_encode(event) for event in batch.events], ended=batch.ended)


def read_head(database: Database, job_id: str) -> Head:
    """The number of a job's newest event, and whether the job has ended."""
    state, newest = database.query(lambda tx: jobs.state_and_events(tx, job_id))
    return Head(newest, state.is_final)


def _page(database: Database, job_id: str, after: int, limit: int, kinds: Sequence[str], owner: str | None) -> Response:
    def ask(tx: Transaction) -> tuple[Event, ...]:
        jobs.state_of(tx, job_id, owner)
        return events.page(tx, job_id, after, limit + 1, kinds=kinds)

    return as_json(serializers.events(database.query(ask), limit))


async def _stream(services: Services, job_id: str, after: int) -> AsyncIterator[str]:
    async for batch in services.tail.follow(job_id, after):
        if batch.events:
            yield "".join(line.text for line in batch.events)
        if batch.ended:
            yield "event: end\ndata: {}\n\n"
        elif not batch.events:
            yield _KEEP_ALIVE


def _encode(event: Event) -> EncodedEvent:
    data = serializers.dump(event).decode()
    return EncodedEvent(event.number, f"id: {event.number}\nevent: {event.kind}\ndata: {data}\n\n")
