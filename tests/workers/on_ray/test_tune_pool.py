"""The pool of workers that Ray Tune runs, by itself."""

import gc
import time
from pathlib import Path

import pytest
import ray
from ray import tune
from ray.tune.experiment import Trial as TuneTrial

from benchmarks.noops import Noop
from tests.cli.conftest import wait_until
from tests.workers.hanging import STOPPED, WAYS, Hung, state
from workers.on_ray.messages import Answered, Started
from workers.on_ray.orders import PauseOrder
from workers.on_ray.tune_parts import MOST_ENDED
from workers.on_ray.tune_pool import WorkerPool

END_S = 5.0
"""Of workers that hang; it takes half a second on a quiet machine."""


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


@pytest.mark.usefixtures("local_ray")
def test_workers_that_hang_are_killed_when_the_pool_closes_and_their_cores_come_back(tmp_path: Path) -> None:
    hung = tune.with_parameters(Hung, folder=str(tmp_path))
    pool = WorkerPool(tune.with_resources(hung, {"cpu": 0.5}), len(WAYS))
    begun = {pool.submit(PauseOrder(0.0)) for _ in WAYS}
    started: list[int] = []
    while len(started) < len(WAYS) - 1:  # The worker that hangs while it starts is never heard of.
        started += [message.ticket for message in pool.receive(0.1) if isinstance(message, Started)]
    assert begun.issuperset(started)
    pids = [int((tmp_path / way).read_text()) for way in WAYS]
    wait_until(lambda: state(pids[WAYS.index(STOPPED)]) == "T")

    asked_s = time.monotonic()
    pool.close()
    closed_s = time.monotonic() - asked_s

    wait_until(lambda: ray.available_resources().get("CPU") == 2, END_S)
    wait_until(lambda: not any(state(pid) for pid in pids), END_S)
    assert closed_s < END_S
