"""The pool of workers that Ray Tune runs, by itself."""

import gc

import pytest
from ray import tune
from ray.tune.experiment import Trial as TuneTrial

from benchmarks.noops import Noop
from workers.orders import PauseOrder
from workers.ray_tune import MOST_ENDED, Answered, WorkerPool


@pytest.mark.usefixtures("local_ray")
def test_what_tune_remembers_does_not_grow_with_the_orders() -> None:
    pool = WorkerPool(tune.with_resources(Noop, {"cpu": 1}), 2)
    tickets = [pool.submit(PauseOrder(0.0)) for _ in range(4 * MOST_ENDED)]
    answered: list[int] = []
    while len(answered) < len(tickets):
        answered += [message.ticket for message in pool.receive(0.1) if isinstance(message, Answered)]

    gc.collect()
    remembered = sum(type(one) is TuneTrial for one in gc.get_objects())  # isinstance would wake deprecated objects.
    pool.close()

    assert sorted(answered) == tickets
    assert remembered <= MOST_ENDED + 10
