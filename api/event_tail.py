"""Follows the events of jobs for many listeners. An idle listener holds neither a thread nor a database connection.

One task for each followed job polls the database at a fixed interval, however many listeners the job has. A listener
reads pages only when new events exist, from the number where it starts, so it gets all events in order. Listeners that
want the same page at the same time share one read.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from starlette.concurrency import run_in_threadpool

_log = logging.getLogger(__name__)


class Numbered(Protocol):
    """An event with a number; numbers of a job's events increase by one."""

    @property
    def number(self) -> int: ...


EventT = TypeVar("EventT", bound=Numbered)
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class EncodedEvent:
    """An event as server-sent text, encoded once for all listeners."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Batch(Generic[EventT]):
    """Consecutive events of a job."""

    events: Sequence[EventT]
    ended: bool
    """True if the job has ended and no events follow these."""


@dataclass(frozen=True, slots=True)
class Head:
    """The newest event of a job and whether the job has ended."""

    newest: int
    """Number of the last event, 0 before the first."""
    ended: bool
    """True if the job has ended."""


@dataclass(slots=True)
class _FollowedJob:
    """State that the listeners of one job share."""

    head: Head = Head(newest=0, ended=False)
    listeners: int = 0
    closed: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def notify(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    def has_news(self, after: int) -> bool:
        return self.closed or self.head.ended or self.head.newest > after


class Tail(Generic[EventT]):
    """Serves ``follow`` to any number of listeners.

    Args:
        read_head: job id -> its head; called in a worker thread, once per interval for each followed job.
        read_page: (job id, after) -> the next events; called in a worker thread.
        interval_s: seconds between two calls of ``read_head`` for a job.
        keep_alive_s: seconds after which a listener without new events gets an empty batch.
    """

    def __init__(
        self,
        read_head: Callable[[str], Head],
        read_page: Callable[[str, int], Batch[EventT]],
        *,
        interval_s: float,
        keep_alive_s: float,
    ) -> None:
        self._read_head = read_head
        self._read_page = read_page
        self._interval_s = interval_s
        self._keep_alive_s = keep_alive_s
        self._jobs: dict[str, _FollowedJob] = {}
        self._reads: dict[tuple[str, int], asyncio.Task[Batch[EventT]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._threads: set[asyncio.Task[Any]] = set()
        self._closed = False

    async def follow(self, job_id: str, after: int) -> AsyncIterator[Batch[EventT]]:
        """Yield batches of the events after number ``after``; the last batch has ``ended``.

        The iteration stops without ``ended`` if the tail is closed or the database cannot be read. The client then
        reconnects.
        """
        job = self._followed(job_id)
        job.listeners += 1
        try:
            while not job.closed:
                batch = await self._page(job_id, after)
                yield batch
                if batch.ended:
                    return
                if batch.events:
                    after = batch.events[-1].number
                else:
                    await self._wait_for_news(job, after)
        finally:
            job.listeners -= 1

    @property
    def listeners(self) -> int:
        """Number of open streams."""
        return sum(job.listeners for job in self._jobs.values())

    def close(self) -> None:
        """End all streams, so that the server can stop. Clients reconnect to the next server."""
        self._closed = True
        for job in self._jobs.values():
            job.closed = True
            job.notify()
        for task in self._tasks:
            task.cancel()

    async def drain(self) -> None:
        """Wait for all reads to end after ``close``; the database can be disposed of then."""
        await asyncio.gather(*self._tasks, *self._threads, return_exceptions=True)

    async def _page(self, job_id: str, after: int) -> Batch[EventT]:
        """The next events, from a new read or from one that another listener has started."""
        key = job_id, after
        if key not in self._reads:
            reading = self._in_thread(partial(self._read_page, job_id, after))
            self._reads[key] = reading
            reading.add_done_callback(lambda _: self._reads.pop(key))
        # A listener that is cancelled must not cancel the read of the others.
        return await asyncio.shield(self._reads[key])

    def _in_thread(self, call: Callable[[], Result]) -> asyncio.Task[Result]:
        """Run a call in a thread. It cannot be cancelled, so ``drain`` waits for it."""
        task = asyncio.create_task(run_in_threadpool(call))
        self._threads.add(task)
        task.add_done_callback(self._threads.discard)
        return task

    def _followed(self, job_id: str) -> _FollowedJob:
        if job_id not in self._jobs:
            job = self._jobs[job_id] = _FollowedJob(closed=self._closed)
            task = asyncio.create_task(self._poll(job_id, job))
            self._tasks.add(task)
            task.add_done_callback(self._finished)
        return self._jobs[job_id]

    async def _poll(self, job_id: str, job: _FollowedJob) -> None:
        try:
            while not (job.closed or job.head.ended):
                await asyncio.sleep(self._interval_s)
                if not job.listeners:
                    return
                head = await asyncio.shield(self._in_thread(partial(self._read_head, job_id)))
                if head != job.head:
                    job.head = head
                    job.notify()
        finally:
            self._jobs.pop(job_id, None)
            job.closed = not job.head.ended
            job.notify()

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log.error("a stream of events ended early", exc_info=error)

    async def _wait_for_news(self, job: _FollowedJob, after: int) -> None:
        """Wait for an event after number ``after``, for at most ``keep_alive_s``.

        ``after`` comes from the client, so it may be a number that the job has not reached; it concerns this listener
        alone.
        """
        try:
            async with asyncio.timeout(self._keep_alive_s):
                while not job.has_news(after):
                    await job.changed.wait()
        except TimeoutError:
            pass
