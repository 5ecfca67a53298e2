"""What becomes of orders for which there is too little memory; with a pool that a test plays, without Ray."""

from dataclasses import replace
from math import inf
from typing import Any

import pytest

from safs.execution.work import Trained
from safs.trials import Outcome
from tests.workers.played import PlayedPool, answer
from workers.on_ray.capacity import Share
from workers.on_ray.messages import Advanced, Answered, Failed, Started
from workers.on_ray.orders import OutOfMemory, PauseOrder
from workers.on_ray.packing import PackedPool

FOUR = Share(slots=6, workers=4, cpus=1, gpus=0.25)
GOOD = Outcome(0.25, {"accuracy": 0.75})
SHORT = Outcome(inf, seconds=3.0, error="out of memory: tried to allocate 2 GiB")


@pytest.fixture
def pools() -> list[PlayedPool]:
    """The pools that were opened, from the first."""
    return []


def packed(pools: list[PlayedPool], orders: int, share: Share = FOUR) -> PackedPool:
    """With orders 1 .. ``orders``, whose tickets are the same."""
    pool = PackedPool(share, lambda one: PlayedPool(one, pools))
    assert [pool.submit(PauseOrder(float(number + 1))) for number in range(orders)] == list(range(1, orders + 1))
    return pool


def test_without_a_lack_of_memory_messages_pass_and_the_pool_has_two_orders_more_than_workers(
    pools: list[PlayedPool],
) -> None:
    pool = packed(pools, 8)
    assert pools[0].has == [1, 2, 3, 4, 5, 6]

    pools[0].tell(2, Started)
    pools[0].tell(2, lambda ticket: Advanced(ticket, ()))
    pools[0].tell(2, answer(GOOD))
    pools[0].tell(1, lambda ticket: Failed(ticket, "its worker was lost"))

    assert pool.receive(0) == [Started(2), Advanced(2, ()), Answered(2, GOOD), Failed(1, "its worker was lost")]
    assert pools[0].has == [3, 4, 5, 6, 7, 8]
    assert pool.take_notes() == []


def test_an_order_that_lacked_memory_runs_alone_after_all_others_and_then_half_as_many_run(
    pools: list[PlayedPool],
) -> None:
    pool = packed(pools, 8)

    pools[0].tell(2, answer(SHORT))
    assert pool.receive(0) == []
    assert pools[0].has == [1, 3, 4, 5, 6]  # Nothing new beside them.
    for number in (1, 3, 4, 5, 6):
        assert len(pools) == 1
        pools[0].tell(number, answer(GOOD))
        pool.receive(0)

    assert pools[0].closed
    assert pools[1].share == Share(slots=6, workers=2, cpus=1, gpus=0.5)
    assert pools[1].has == [2]
    assert pool.submit(PauseOrder(9.0)) == 9
    assert pools[1].has == [2]
    pools[1].tell(2, answer(GOOD))
    assert pool.receive(0) == [Answered(2, GOOD)]
    assert pools[1].has == [7, 8, 9]
    (note,) = pool.take_notes()
    assert "repeated alone" in note
    assert "4 were packed on it; from now on it is 2" in note
    assert pool.take_notes() == []


def test_orders_that_lack_memory_together_halve_the_packing_once_and_are_repeated_one_by_one(
    pools: list[PlayedPool],
) -> None:
    pool = packed(pools, 4)
    for number, found in ((3, SHORT), (1, SHORT), (2, GOOD), (4, GOOD)):
        pools[0].tell(number, answer(found))
    pool.receive(0)

    assert pools[1].share.workers == 2
    assert pools[1].has == [3]
    pools[1].tell(3, answer(GOOD))
    assert pool.receive(0) == [Answered(3, GOOD)]
    assert pools[1].has == [1]
    assert len(pools) == 2


@pytest.mark.parametrize("found", [SHORT, Trained(SHORT, None), OutOfMemory("tried to allocate 2 GiB")])
def test_what_lacks_memory_also_alone_is_infeasible_and_says_so(found: Any, pools: list[PlayedPool]) -> None:
    pool = packed(pools, 1)

    pools[0].tell(1, answer(found))
    assert pool.receive(0) == []
    pools[1].tell(1, answer(found))
    (told,) = pool.receive(0)

    error = "out of memory, also alone: tried to allocate 2 GiB"
    match told:
        case Answered(1, Outcome() as outcome) | Answered(1, Trained(outcome)):
            assert outcome == replace(SHORT, error=error)
            assert outcome.out_of_memory
        case _:
            assert told == Failed(1, error, final=True)
    assert (pools[1].has, len(pools)) == ([], 2)


@pytest.mark.parametrize(
    "share", [Share(slots=4, workers=4, cpus=4, gpus=1.0), Share(slots=1, workers=1, cpus=1, gpus=0)]
)
def test_an_order_with_a_device_to_itself_is_not_repeated(share: Share, pools: list[PlayedPool]) -> None:
    pool = packed(pools, 1, share)

    pools[0].tell(1, answer(SHORT))

    (message,) = pool.receive(0)
    assert isinstance(message, Answered)
    assert message.answer.error.startswith("out of memory, also alone")
    assert len(pools) == 1
    assert pool.take_notes() == []


def test_a_packing_is_halved_until_each_has_its_device_to_itself(pools: list[PlayedPool]) -> None:
    pool = packed(pools, 12)
    for packing in (2, 1):
        beside = pools[-1].has
        pools[-1].tell(beside[0], answer(SHORT))
        for number in beside[1:]:
            pools[-1].tell(number, answer(GOOD))
        pool.receive(0)
        assert pools[-1].share.packed == packing
        pools[-1].tell(beside[0], answer(SHORT))
        (told,) = pool.receive(0)
        assert isinstance(told, Answered)
        assert told.answer.error.startswith("out of memory, also alone")

    pools[-1].tell(pools[-1].has[0], answer(SHORT))
    assert len(pool.receive(0)) == 1
    assert len(pools) == 3
