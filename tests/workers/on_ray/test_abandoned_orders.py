"""Orders of a failed evaluation do not reach the stage that follows it."""

from typing import Any

import pytest

from safs.errors import TrainingError
from safs.events.kinds import Stage
from safs.execution.executor import Task
from safs.execution.training import Training
from safs.execution.work import Context, Trained
from safs.networks import Blueprint, Network
from safs.spec.training import Recipe
from safs.trials import Candidate, Outcome
from tests.workers.fake_pool import FakePool, answer
from workers.on_ray.capacity import Share
from workers.on_ray.executor import RayExecutor
from workers.on_ray.messages import Failed

TRAINED = Trained(Outcome(0.5), None)


class ScriptedPool(FakePool):
    """A pool whose first order fails, even if it is retried; the others are answered one after the other."""

    def submit(self, order: Any) -> int:
        return super().submit(len(self.numbers))

    def receive(self, timeout_s: float) -> list[Any]:
        if 1 in self.orders:
            self.send(self.orders[1], lambda ticket: Failed(ticket, "it died at its start", lost=True, final=True))
        else:
            ticket = min(self.orders)
            self.send(self.orders[ticket], answer(TRAINED))
        return super().receive(timeout_s)

    def close(self) -> None:
        self.closed = True


class NoObjects:
    """An object store that stores nothing."""

    def share(self, context: Context) -> None: ...

    def share_split(self, split: Any) -> None: ...


def test_a_worker_that_dies_at_its_start_fails_the_evaluation_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.on_ray.executor.ObjectStore", NoObjects)
    monkeypatch.setattr("workers.on_ray.executor.ray.put", lambda network: None)
    network = Network(Blueprint("lenet5", 1, 28, 10), {})
    task = Task(Candidate(0, {}, 1, 0), Training({}, Recipe(), 1, seed=0))
    pools: list[FakePool] = []

    with RayExecutor(Share(2, 2, 1, 0.0), lambda share: ScriptedPool(share, pools)) as executor:
        with pytest.raises(TrainingError, match="it died at its start"):
            executor.measure(lambda *_: None, [network] * 2, None, 1, lambda event: None)  # type: ignore[arg-type]
        trained = executor.train(Stage.DENSE, [task], None, lambda event: None, lambda task, done: None)  # type: ignore[arg-type]

    assert trained == [TRAINED]
