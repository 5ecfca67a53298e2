"""Orders whose workers are lost or that raise, with a fake pool."""

from collections.abc import Callable
from math import inf

import pytest

from safs.trials import Outcome
from tests.workers.fake_pool import FakePool, answer, order
from workers.on_ray import retrying as retrying_module
from workers.on_ray.capacity import Share
from workers.on_ray.messages import Advanced, Answered, Failed, Message, Started
from workers.on_ray.packing import PackedPool
from workers.on_ray.retrying import MOST_LOSSES, Repeated, RetryingPool

GOOD = Outcome(0.25, {"accuracy": 0.75})
SHORT = Outcome(inf, error="out of memory: tried to allocate 2 GiB")


def lost(ticket: int) -> Message:
    return Failed(ticket, "The actor died.", lost=True)


def raised(what: str) -> Callable[[int], Message]:
    return lambda ticket: Failed(ticket, what)


@pytest.fixture
def pools() -> list[FakePool]:
    """The inner pools, in the sequence in which they were opened."""
    return []


def retrying(pools: list[FakePool], orders: int, packed: int = 2) -> RetryingPool:
    """Return a pool with orders 1 to ``orders``; each order's number is also its ticket."""
    share = Share(slots=2, workers=packed, cpus=1, gpus=0.0)
    pool = RetryingPool(PackedPool(share, lambda one: FakePool(one, pools)))
    assert [pool.submit(order(number + 1)) for number in range(orders)] == list(range(1, orders + 1))
    return pool


class Clock:
    """A stand-in for the module ``time`` whose monotonic clock advances by 2.5 s at each reading."""

    def __init__(self) -> None:
        self._now_s = 0.0

    def monotonic(self) -> float:
        self._now_s += 2.5
        return self._now_s


def test_an_order_whose_worker_is_lost_runs_again_and_is_answered_once_under_its_ticket(
    pools: list[FakePool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying_module, "time", Clock())
    pool = retrying(pools, 2)
    for message in (Started, lambda ticket: Advanced(ticket, ()), lost):
        pools[0].send(1, message)
    pools[0].send(2, answer(GOOD))

    started, advanced, repeated, other = pool.receive(0)
    assert (started, advanced, other) == (Started(1), Advanced(1, ()), Answered(2, GOOD))
    assert isinstance(repeated, Repeated)
    assert (repeated.ticket, repeated.reason, repeated.lost) == (1, "The actor died.", True)
    assert repeated.seconds == 2.5
    assert pools[0].numbers == [1]

    pools[0].send(1, Started)
    pools[0].send(1, answer(GOOD))
    assert pool.receive(0) == [Started(1), Answered(1, GOOD)]
    assert pools[0].numbers == []


def test_an_order_that_loses_its_worker_again_and_again_fails_with_the_reason(pools: list[FakePool]) -> None:
    pool = retrying(pools, 1)
    for _ in range(MOST_LOSSES):
        pools[0].send(1, lost)
        assert [type(message) for message in pool.receive(0)] == [Repeated]

    pools[0].send(1, lost)

    assert pool.receive(0) == [Failed(1, "its worker was lost 4 times: The actor died.", lost=True)]
    assert pools[0].numbers == []


@pytest.mark.parametrize("second", ["KeyError: 'a'", "KeyError: 'b'"])
def test_the_second_exception_of_an_order_is_final(second: str, pools: list[FakePool]) -> None:
    pool = retrying(pools, 1)
    pools[0].send(1, raised("KeyError: 'a'"))
    assert pool.receive(0) == [Repeated(1, "KeyError: 'a'", False, 0.0)]

    pools[0].send(1, lost)
    assert pool.receive(0) == [Repeated(1, "The actor died.", True, 0.0)]
    pools[0].send(1, raised(second))

    assert pool.receive(0) == [Failed(1, second)]


def test_lost_workers_and_out_of_memory_errors_are_counted_apart(pools: list[FakePool]) -> None:
    pool = retrying(pools, 1)
    pools[0].send(1, lost)
    pool.receive(0)
    pools[0].send(1, answer(SHORT))
    assert pool.receive(0) == []
    assert [one.share.workers for one in pools] == [2, 1]

    pools[1].send(1, lost)
    assert [type(message) for message in pool.receive(0)] == [Repeated]
    pools[1].send(1, answer(SHORT))

    (message,) = pool.receive(0)
    assert isinstance(message, Answered)
    assert message.answer.error == "out of memory, also alone: tried to allocate 2 GiB"
    (note,) = pool.take_notes()
    assert "repeated alone" in note
