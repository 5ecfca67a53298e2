"""Many listeners share one query for a job's events, and each gets all events in order."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event

import pytest

from api.event_tail import Batch, Head, Tail

NEVER_S = 3600.0


@dataclass(frozen=True)
class Numbered:
    number: int


@dataclass
class Log:
    """A job's events in memory, which counts how often it is asked."""

    length: int = 0
    ended: bool = False
    page: int = 3
    head_reads: int = 0
    page_reads: int = 0
    on_head_read: Callable[["Log"], None] = field(default=lambda log: None)

    def read_head(self, job_id: str) -> Head:
        self.head_reads += 1
        self.on_head_read(self)
        return Head(self.length, self.ended)

    def read_page(self, job_id: str, after: int) -> Batch[Numbered]:
        self.page_reads += 1
        events = [Numbered(number) for number in range(after + 1, min(self.length, after + self.page) + 1)]
        return Batch(events, ended=self.ended and after + len(events) == self.length)


def _tail(log: Log, *, keep_alive_s: float = NEVER_S) -> Tail[Numbered]:
    return Tail(log.read_head, log.read_page, interval_s=0.001, keep_alive_s=keep_alive_s)


async def _numbers(tail: Tail[Numbered], after: int = 0) -> list[int]:
    return [event.number async for batch in tail.follow("job", after) for event in batch.events]


@pytest.mark.parametrize("after", [0, 2, 6, 7])
def test_what_is_there_is_read_page_by_page_from_any_number(after: int) -> None:
    numbers = asyncio.run(_numbers(_tail(Log(length=7, ended=True)), after))

    assert numbers == list(range(after + 1, 8))


def test_idle_listeners_share_one_look_and_one_reading_of_what_is_new() -> None:
    def grow(log: Log) -> None:
        if log.head_reads == 50:
            log.length, log.ended = 2, True

    log = Log(on_head_read=grow)

    async def listen() -> list[list[int]]:
        tail = _tail(log)
        return await asyncio.gather(*(_numbers(tail) for _ in range(100)))

    assert asyncio.run(listen()) == [[1, 2]] * 100
    assert log.head_reads == 50
    assert log.page_reads == 2


def test_a_listener_that_claims_to_know_more_than_there_is_disturbs_no_other() -> None:
    def grow(log: Log) -> None:
        log.length = log.head_reads
        log.ended = log.head_reads == 2

    log = Log(on_head_read=grow)

    async def listen() -> list[list[int]]:
        tail = Tail(log.read_head, log.read_page, interval_s=0.1, keep_alive_s=NEVER_S)
        ahead = asyncio.create_task(_numbers(tail, after=2**31 - 1))
        honest = asyncio.gather(*(_numbers(tail) for _ in range(10)))
        await asyncio.sleep(0.05)
        ahead.cancel()
        return await honest

    assert asyncio.run(listen()) == [[1, 2]] * 10
    assert log.page_reads < 10


def test_a_listener_that_leaves_while_a_page_is_read_does_not_take_it_from_the_others() -> None:
    reading, go_on = Event(), Event()

    class SlowLog(Log):
        def read_page(self, job_id: str, after: int) -> Batch[Numbered]:
            reading.set()
            go_on.wait()
            return super().read_page(job_id, after)

    async def one_leaves() -> list[int]:
        tail = _tail(SlowLog(length=2, ended=True))
        leaving, staying = (asyncio.create_task(_numbers(tail)) for _ in range(2))
        while not reading.is_set():
            await asyncio.sleep(0.001)
        leaving.cancel()
        go_on.set()
        return await staying

    assert asyncio.run(one_leaves()) == [1, 2]


def test_a_listener_that_hears_nothing_gets_signs_of_life() -> None:
    async def first_batches(count: int) -> list[Batch[Numbered]]:
        batches = []
        async for batch in _tail(Log(), keep_alive_s=0.001).follow("job", 0):
            batches.append(batch)
            if len(batches) == count:
                break
        return batches

    assert asyncio.run(first_batches(3)) == [Batch([], ended=False)] * 3


def test_closing_ends_every_stream_and_no_new_one_stays_open() -> None:
    async def close_while_listening() -> tuple[list[int], list[int]]:
        tail = _tail(Log(length=1))
        listener = asyncio.create_task(_numbers(tail))
        while not tail.listeners:
            await asyncio.sleep(0)
        tail.close()
        return await listener, await _numbers(tail)

    assert asyncio.run(close_while_listening())[1] == []


def test_a_tail_that_is_drained_reads_nothing_any_more() -> None:
    reading: list[int] = []

    class SlowLog(Log):
        def read_page(self, job_id: str, after: int) -> Batch[Numbered]:
            reading.append(1)
            time.sleep(0.05)
            reading.pop()
            return super().read_page(job_id, after)

    async def leave_and_drain() -> list[int]:
        tail = _tail(SlowLog(length=1))
        listener = asyncio.create_task(_numbers(tail))
        while not reading:
            await asyncio.sleep(0.001)
        listener.cancel()
        tail.close()
        await tail.drain()
        return list(reading)

    assert asyncio.run(leave_and_drain()) == []


def test_a_look_that_fails_ends_the_streams_so_that_their_listeners_come_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(log: Log) -> None:
        raise OSError("the database is gone")

    assert asyncio.run(_numbers(_tail(Log(length=1, on_head_read=fail)))) == [1]
    assert "ended early" in caplog.text
