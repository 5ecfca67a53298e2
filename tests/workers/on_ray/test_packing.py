"""Orders that run out of memory, with a fake pool."""

from dataclasses import replace
from math import inf
from typing import Any

import pytest

from safs.execution.work import Trained
from safs.trials import Outcome
from tests.workers.fake_pool import FakePool, answer, order
from workers.on_ray.capacity import Share
from workers.on_ray.messages import Advanced, Answered, Failed, Started
from workers.on_ray.orders import OutOfMemory
from workers.on_ray.packing import PackedPool

FOUR = Share(slots=6, workers=4, cpus=1, gpus=0.25)
GOOD = Outcome(0.25, {"accuracy": 0.75})
SHORT = Outcome(inf, seconds=3.0, error="out of memory: tried to allocate 2 GiB")


@pytest.fixture
def pools() -> list[FakePool]:
    """The inner pools, in the sequence in which they were opened."""
    return []


def packed(pools: list[FakePool], orders: int, share: Share = FOUR) -> PackedPool:
    """Return a pool with orders 1 to ``orders``; each order's number is also its ticket."""
    pool = PackedPool(share, lambda one: FakePool(one, pools))
    assert [pool.submit(order(number + 1)) for number in range(orders)] == list(range(1, orders + 1))
    return pool


def test_messages_pass_through_and_the_inner_pool_holds_two_orders_more_than_workers(
    pools: list[FakePool],
) -> None:
    pool = packed(pools, 8)
    assert pools[0].numbers == [1, 2, 3, 4, 5, 6]

    pools[0].send(2, Started)
    pools[0].send(2, lambda ticket: Advanced(ticket, ()))
    pools[0].send(2, answer(GOOD))
    pools[0].send(1, lambda ticket: Failed(ticket, "its worker was lost"))

    assert pool.receive(0) == [Started(2), Advanced(2, ()), Answered(2, GOOD), Failed(1, "its worker was lost")]
    assert pools[0].numbers == [3, 4, 5, 6, 7, 8]
    assert pool.take_notes() == []


def test_an_order_that_ran_out_of_memory_is_retried_alone_and_then_half_as_many_run(
    pools: list[FakePool],
) -> None:
    pool = packed(pools, 8)

    pools[0].send(2, answer(SHORT))
    assert pool.receive(0) == []
    assert pools[0].numbers == [1, 3, 4, 5, 6]  # No new order starts beside them.
    for number in (1, 3, 4, 5, 6):
        assert len(pools) == 1
        pools[0].send(number, answer(GOOD))
        pool.receive(0)

    assert pools[0].closed
    assert pools[1].share == Share(slots=6, workers=2, cpus=1, gpus=0.5)
    assert pools[1].numbers == [2]
    assert pool.submit(order(9)) == 9
    assert pools[1].numbers == [2]
    pools[1].send(2, answer(GOOD))
    assert pool.receive(0) == [Answered(2, GOOD)]
    assert pools[1].numbers == [7, 8, 9]
    (note,) = pool.take_notes()
    assert "repeated alone" in note
    assert "4 were packed on it; from now on it is 2" in note
    assert pool.take_notes() == []


def test_several_orders_that_ran_out_of_memory_halve_the_packing_once_and_are_retried_one_by_one(
    pools: list[FakePool],
) -> None:
    pool = packed(pools, 4)
    for number, found in ((3, SHORT), (1, SHORT), (2, GOOD), (4, GOOD)):
        pools[0].send(number, answer(found))
    pool.receive(0)

    assert pools[1].share.workers == 2
    assert pools[1].numbers == [3]
    pools[1].send(3, answer(GOOD))
    assert pool.receive(0) == [Answered(3, GOOD)]
    assert pools[1].numbers == [1]
    assert len(pools) == 2


@pytest.mark.parametrize("found", [SHORT, Trained(SHORT, None), OutOfMemory("tried to allocate 2 GiB")])
def test_an_order_that_runs_out_of_memory_alone_fails_with_the_reason(found: Any, pools: list[FakePool]) -> None:
    pool = packed(pools, 1)

    pools[0].send(1, answer(found))
    assert pool.receive(0) == []
    pools[1].send(1, answer(found))
    (message,) = pool.receive(0)

    error = "out of memory, also alone: tried to allocate 2 GiB"
    match message:
        case Answered(1, Outcome() as outcome) | Answered(1, Trained(outcome)):
            assert outcome == replace(SHORT, error=error)
            assert outcome.out_of_memory
        case _:
            assert message == Failed(1, error, final=True)
    assert (pools[1].numbers, len(pools)) == ([], 2)


@pytest.mark.parametrize(
    "share", [Share(slots=4, workers=4, cpus=4, gpus=1.0), Share(slots=1, workers=1, cpus=1, gpus=0)]
)
def test_an_order_with_a_device_to_itself_is_not_retried(share: Share, pools: list[FakePool]) -> None:
    pool = packed(pools, 1, share)

    pools[0].send(1, answer(SHORT))

    (message,) = pool.receive(0)
    assert isinstance(message, Answered)
    assert message.answer.error.startswith("out of memory, also alone")
    assert len(pools) == 1
    assert pool.take_notes() == []


def test_a_packing_is_halved_until_each_has_its_device_to_itself(pools: list[FakePool]) -> None:
    pool = packed(pools, 12)
    for packing in (2, 1):
        beside = pools[-1].numbers
        pools[-1].send(beside[0], answer(SHORT))
        for number in beside[1:]:
            pools[-1].send(number, answer(GOOD))
        pool.receive(0)
        assert pools[-1].share.packed == packing
        pools[-1].send(beside[0], answer(SHORT))
        (message,) = pool.receive(0)
        assert isinstance(message, Answered)
        assert message.answer.error.startswith("out of memory, also alone")

    pools[-1].send(pools[-1].numbers[0], answer(SHORT))
    assert len(pool.receive(0)) == 1
    assert len(pools) == 3
