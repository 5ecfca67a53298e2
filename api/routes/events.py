"""The events of a job: as pages, and as a stream."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from api import answers
from api.conditional import as_json
from api.deps import Limit, Services, Use, Who
from api.event_tail import Batch, Head, Line
from api.problems import problem_responses
from api.schemas import EventPage
from store import events, jobs
from store.records import Event
from store.session import Database, Transaction

EVENT_STREAM = "text/event-stream"
LAST_NUMBER = 2**31 - 1
READ_AT_ONCE = 200
_KEEP_ALIVE = ": keep-alive\n\n"
_STREAM_DOC = (
    "With `Accept: text/event-stream`: each event as `id` (its number), `event` (its kind) and `data` (JSON, as in the "
    "pages); comments keep the connection alive; an `end` event without id closes the stream once the job has ended."
)

router = APIRouter(prefix="/v1/jobs/{job_id}/events", tags=["events"])


@router.get(
    "",
    response_model=EventPage,
    summary="A job's events, as pages or as a stream",
    responses={
        200: {"content": {EVENT_STREAM: {"schema": {"type": "string", "description": _STREAM_DOC}}}},
        204: {"description": "A stream that is resumed after the last event of a job that has ended."},
        **problem_responses("job_not_found", "invalid_request"),
    },
)
async def list_events(
    use: Use,
    who: Who,
    request: Request,
    job_id: str,
    after: Annotated[int, Query(ge=0, le=LAST_NUMBER, description="Only events with a higher number.")] = 0,
    limit: Limit = 100,
    last_event_id: Annotated[
        int | None, Header(ge=0, le=LAST_NUMBER, description="Streams only: resumes after this event.")
    ] = None,
) -> Response:
    """Events are numbered from 1 without gaps, so a reader that knows the last number it saw misses none.

    A key is asked for when a stream begins: one that is revoked meanwhile ends when the stream is resumed."""
    if EVENT_STREAM not in request.headers.get("accept", ""):
        return await run_in_threadpool(_page, use.database, job_id, after, limit, who.sees)
    first = await run_in_threadpool(read_batch, use.database, job_id, last_event_id or after, who.sees)
    if last_event_id is not None and first.ended and not first.events:
        return Response(status_code=204)  # tells a browser's EventSource to stop coming back
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(_stream(use, job_id, last_event_id or after), media_type=EVENT_STREAM, headers=headers)


def read_batch(database: Database, job_id: str, after: int, owner: str | None = None) -> Batch[Event]:
    """The next events of a job; its state is read first, so a job that has ended adds none to them."""

    def ask(tx: Transaction) -> Batch[Event]:
        ended = jobs.state_of(tx, job_id, owner).is_final
        found = events.page(tx, job_id, after, READ_AT_ONCE)
        return Batch(found, ended=ended and len(found) < READ_AT_ONCE)

    return database.query(ask)


def read_lines(database: Database, job_id: str, after: int) -> Batch[Line]:
    """``read_batch`` for those who stream it."""
    batch = read_batch(database, job_id, after)
    return Batch([_line(event) for event in batch.events], ended=batch.ended)


def look(database: Database, job_id: str) -> Head:
    """How far a job has come."""
    state, newest = database.query(lambda tx: jobs.state_and_events(tx, job_id))
    return Head(newest, state.is_final)


def _page(database: Database, job_id: str, after: int, limit: int, owner: str | None) -> Response:
    def ask(tx: Transaction) -> tuple[Event, ...]:
        jobs.state_of(tx, job_id, owner)
        return events.page(tx, job_id, after, limit + 1)

    return as_json(answers.events(database.query(ask), limit))


async def _stream(use: Services, job_id: str, after: int) -> AsyncIterator[str]:
    async for batch in use.tail.follow(job_id, after):
        if batch.events:
            yield "".join(line.text for line in batch.events)
        if batch.ended:
            yield "event: end\ndata: {}\n\n"
        elif not batch.events:
            yield _KEEP_ALIVE


def _line(event: Event) -> Line:
    data = answers.dump(event).decode()
    return Line(event.number, f"id: {event.number}\nevent: {event.kind}\ndata: {data}\n\n")
