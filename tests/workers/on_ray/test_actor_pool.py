"""The pool of Ray actors: overlap, lost and failing actors, starts that fail, and its end."""

import gc
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import ray

from tests.waiting import wait_until
from tests.workers.fake_pool import order
from tests.workers.hanging import STOPPED, WAYS, HangingActor, state
from tests.workers.light_worker import BrokenWorker, Worker
from workers.on_ray.actor_pool import ActorPool
from workers.on_ray.messages import Answered, Failed, Message, Started

pytestmark = pytest.mark.usefixtures("local_ray")


@contextmanager
def pool_of(actor: type, size: int, *arguments: Any) -> Iterator[ActorPool]:
    """Return a pool of actors that take half a core each; all cores are free again after the block."""
    remote = ray.remote(num_cpus=0.5)(actor)
    pool = ActorPool(lambda: remote.remote(*arguments), size)
    yield pool
    pool.close()
    wait_until(lambda: ray.available_resources().get("CPU") == 2)


def receive(pool: ActorPool, ended: int) -> list[Message]:
    """Return the messages until ``ended`` orders have ended."""
    messages: list[Message] = []
    while sum(isinstance(message, Answered | Failed) for message in messages) < ended:
        messages += pool.receive(1.0)
    return messages


def test_as_many_orders_run_at_once_as_the_pool_has_actors(tmp_path: Path) -> None:
    def meet(own: str, other: str) -> int:
        """End only if the other order runs in another process at the same time."""
        (tmp_path / own).write_text(str(os.getpid()))
        wait_until(lambda: (tmp_path / other).exists() and (tmp_path / other).read_text())
        return os.getpid()

    with pool_of(Worker, 2) as pool:
        first = pool.submit(order(lambda: meet("a", "b")))
        second = pool.submit(order(lambda: meet("b", "a")))
        messages = receive(pool, 2)

    answers = {message.ticket: message.answer for message in messages if isinstance(message, Answered)}
    assert set(answers) == {first, second}
    assert answers[first] != answers[second]
    assert [message for message in messages if isinstance(message, Started)] == [Started(first), Started(second)]


def test_an_order_waits_for_no_actor_that_is_still_starting_while_another_is_free(tmp_path: Path) -> None:
    class OneStarts(Worker):
        """A pool of two actors, of which the second waits at its start until a file appears."""

        def __init__(self) -> None:
            try:
                (tmp_path / "first").touch(exist_ok=False)
            except FileExistsError:
                wait_until((tmp_path / "go").exists)

    with pool_of(OneStarts, 2) as pool:
        tickets = [pool.submit(order(os.getpid)) for _ in range(3)]
        messages = receive(pool, 3)
        one = pool.started
        (tmp_path / "go").touch()
        while pool.started < 2:
            messages += pool.receive(1.0)

    answers = [message for message in messages if isinstance(message, Answered)]
    assert [message.ticket for message in answers] == tickets
    assert len({message.answer for message in answers}) == 1
    assert one == 1


def test_an_order_whose_actor_is_killed_fails_as_lost_and_a_new_actor_takes_the_next(tmp_path: Path) -> None:
    with pool_of(Worker, 1) as pool:
        lost = pool.submit(order(lambda: os.kill(os.getpid(), signal.SIGKILL)))
        (failed,) = [message for message in receive(pool, 1) if isinstance(message, Failed)]
        pool.submit(order(os.getpid))
        (answered,) = [message for message in receive(pool, 1) if isinstance(message, Answered)]

    assert (failed.ticket, failed.lost) == (lost, True)
    assert failed.reason.startswith("The actor died unexpectedly")
    assert isinstance(answered.answer, int)


def test_an_order_that_raises_fails_with_the_error_and_its_process_is_not_used_again() -> None:
    with pool_of(Worker, 1) as pool:
        pool.submit(order(os.getpid))
        raised = pool.submit(order(lambda: 1 / 0))
        pool.submit(order(os.getpid))
        before, failed, after = [one for one in receive(pool, 3) if isinstance(one, Answered | Failed)]

    assert failed == Failed(raised, "ZeroDivisionError: division by zero")
    assert isinstance(before, Answered)
    assert isinstance(after, Answered)
    assert before.answer != after.answer


def test_a_start_that_fails_is_the_failure_of_the_oldest_waiting_order() -> None:
    with pool_of(BrokenWorker, 1) as pool:
        tickets = [pool.submit(order(os.getpid)) for _ in range(2)]
        failures = [message for message in receive(pool, 2) if isinstance(message, Failed)]

    assert [(failure.ticket, failure.lost) for failure in failures] == [(ticket, True) for ticket in tickets]
    assert all("error raised in its creation task" in failure.reason for failure in failures)


def test_the_pool_keeps_no_order_and_no_answer_that_has_ended() -> None:
    class Payload:
        """An answer whose copies in this process can be counted."""

    with pool_of(Worker, 2) as pool:
        for _ in range(50):
            pool.submit(order(Payload))
        receive(pool, 50)

        gc.collect()
        kept = sum(type(one).__name__ == "Payload" for one in gc.get_objects())

    assert kept == 0


def test_actors_that_hang_are_killed_when_the_pool_closes_and_their_cores_come_back(tmp_path: Path) -> None:
    with pool_of(HangingActor, len(WAYS), tmp_path) as pool:
        tickets = [pool.submit(order(print)) for _ in WAYS]
        started: list[int] = []
        while len(started) < len(WAYS) - 1:  # The actor that hangs in its start gets no order.
            started += [message.ticket for message in pool.receive(1.0) if isinstance(message, Started)]
        wait_until(lambda: all((tmp_path / way).exists() and (tmp_path / way).read_text() for way in WAYS))
        pids = [int((tmp_path / way).read_text()) for way in WAYS]
        wait_until(lambda: state(pids[WAYS.index(STOPPED)]) == "T")

    assert started == tickets[:-1]
    wait_until(lambda: not any(state(pid) for pid in pids))


def test_an_actor_that_dies_idle_fails_the_next_order_as_lost() -> None:
    with pool_of(Worker, 1) as pool:
        pool.submit(order(os.getpid))
        (answered,) = [message for message in receive(pool, 1) if isinstance(message, Answered)]
        os.kill(answered.answer, signal.SIGKILL)
        lost = pool.submit(order(os.getpid))
        (ended,) = [message for message in receive(pool, 1) if isinstance(message, Answered | Failed)]

    assert ended.ticket == lost
    assert isinstance(ended, Failed)
    assert ended.lost
