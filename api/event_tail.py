"""Follows the events of jobs for many listeners at once: idle listeners hold neither a thread nor a session.

One task a followed job looks into SQL every interval, however many listen. A listener reads its own pages, and only
when there is news, so each has all events in order, from whichever number it starts; those that want the same page at
the same time share one reading of it.
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
    """What a tail can follow."""

    @property
    def number(self) -> int: ...


EventT = TypeVar("EventT", bound=Numbered)
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Line:
    """An event as it is sent: written once, however many listen."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Batch(Generic[EventT]):
    """Events in order."""

    events: Sequence[EventT]
    ended: bool
    """The job has ended and these are its last events."""


@dataclass(frozen=True, slots=True)
class Head:
    """How far a job has come."""

    newest: int
    """The number of its last event, 0 before the first."""
    ended: bool


@dataclass(slots=True)
class _Watch:
    """What the listeners of one job share."""

    head: Head = Head(newest=0, ended=False)
    listeners: int = 0
    gone: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    def has_news(self, after: int) -> bool:
        return self.gone or self.head.ended or self.head.newest > after


class Tail(Generic[EventT]):
    """Serves ``follow`` to any number of listeners.

    Args:
        look: job id -> its head; runs once an interval for each followed job.
        read: (job id, after) -> the next events. Like ``look`` it runs in a worker thread.
        interval_s: time between two looks.
        keep_alive_s: a listener that has waited this long gets an empty batch.
    """

    def __init__(
        self,
        look: Callable[[str], Head],
        read: Callable[[str, int], Batch[EventT]],
        *,
        interval_s: float,
        keep_alive_s: float,
    ) -> None:
        self._look = look
        self._read = read
        self._interval_s = interval_s
        self._keep_alive_s = keep_alive_s
        self._watches: dict[str, _Watch] = {}
        self._readings: dict[tuple[str, int], asyncio.Task[Batch[EventT]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._threads: set[asyncio.Task[Any]] = set()
        self._closed = False

    async def follow(self, job_id: str, after: int) -> AsyncIterator[Batch[EventT]]:
        """Batches of the events after number ``after``; the last one has ``ended``.

        Without ``ended`` it stops when the tail closes or the database cannot be read: the listener comes again.
        """
        watch = self._watch(job_id)
        watch.listeners += 1
        try:
            while not watch.gone:
                batch = await self._page(job_id, after)
                yield batch
                if batch.ended:
                    return
                if batch.events:
                    after = batch.events[-1].number
                else:
                    await self._news(watch, after)
        finally:
            watch.listeners -= 1

    @property
    def listeners(self) -> int:
        """How many streams are open."""
        return sum(watch.listeners for watch in self._watches.values())

    def close(self) -> None:
        """Ends all streams, so that the server can stop; their clients resume at the next one."""
        self._closed = True
        for watch in self._watches.values():
            watch.gone = True
            watch.wake()
        for task in self._tasks:
            task.cancel()

    async def drain(self) -> None:
        """Returns when nothing is read any more, after ``close``: the database may be let go."""
        await asyncio.gather(*self._tasks, *self._threads, return_exceptions=True)

    async def _page(self, job_id: str, after: int) -> Batch[EventT]:
        """The next events, read now or by another listener who has begun to."""
        key = job_id, after
        if key not in self._readings:
            reading = self._in_thread(partial(self._read, job_id, after))
            self._readings[key] = reading
            reading.add_done_callback(lambda _: self._readings.pop(key))
        # A listener who leaves must not take the page away from the others.
        return await asyncio.shield(self._readings[key])

    def _in_thread(self, call: Callable[[], Answer]) -> asyncio.Task[Answer]:
        """A call in a thread, which nobody can stop: ``drain`` waits for it."""
        task = asyncio.create_task(run_in_threadpool(call))
        self._threads.add(task)
        task.add_done_callback(self._threads.discard)
        return task

    def _watch(self, job_id: str) -> _Watch:
        if job_id not in self._watches:
            watch = self._watches[job_id] = _Watch(gone=self._closed)
            task = asyncio.create_task(self._keep_looking(job_id, watch))
            self._tasks.add(task)
            task.add_done_callback(self._finished)
        return self._watches[job_id]

    async def _keep_looking(self, job_id: str, watch: _Watch) -> None:
        try:
            while not (watch.gone or watch.head.ended):
                await asyncio.sleep(self._interval_s)
                if not watch.listeners:
                    return
                head = await asyncio.shield(self._in_thread(partial(self._look, job_id)))
                if head != watch.head:
                    watch.head = head
                    watch.wake()
        finally:
            self._watches.pop(job_id, None)
            watch.gone = not watch.head.ended
            watch.wake()

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log.error("a stream of events ended early", exc_info=error)

    async def _news(self, watch: _Watch, after: int) -> None:
        """Returns when there is something to read after number ``after``, or when it is time for a sign of life.

        What a listener says it has is between the two of them: it may name a number that the job has not reached.
        """
        try:
            async with asyncio.timeout(self._keep_alive_s):
                while not watch.has_news(after):
                    await watch.changed.wait()
        except TimeoutError:
            pass
