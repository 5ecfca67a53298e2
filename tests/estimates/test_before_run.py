"""The estimate at the start of a job."""

from typing import Any

import pytest

from safs import data
from safs.errors import Cancelled, TrainingError
from safs.estimates.before_run import estimate_before_run
from safs.estimates.timing import Timing
from safs.events.kinds import Event, Note
from safs.execution.serial import SerialExecutor
from safs.preflight import Preflight, check
from safs.spec.job import JobSpec
from tests.estimates.cases import CPU, GPU

SPEC = JobSpec.model_validate(
    {"model": {"architecture": "mlp"}, "data": {"dataset": "digits"}, "sparsity": 0.9, "preset": "quick"}
)


class Timed(SerialExecutor):
    """Answers every look with a timing that is given."""

    def __init__(self, at_once: int, answer: Timing | Exception) -> None:
        super().__init__()
        self._at_once, self._answer = at_once, answer
        self.looked_at = 0

    @property
    def at_once(self) -> int:
        return self._at_once

    def examine(self, look: Any, networks: Any, split: Any, batch_size: int, report: Any) -> list[Any]:
        self.looked_at = len(networks)
        if isinstance(self._answer, Exception):
            raise self._answer
        return [self._answer for _ in networks]


@pytest.fixture(scope="module")
def found() -> Preflight:
    return check(SPEC, data_root=None, weights=None)


def _estimate(found: Preflight, executor: SerialExecutor) -> tuple[Any, list[Event]]:
    events: list[Event] = []
    train = data.load(SPEC.data, root=None, channels=1, image_size=8, seed=0).train
    return estimate_before_run(SPEC, found, train, executor, events.append), events


def test_it_is_told_as_a_note_and_timed_on_the_executor_itself(found: Preflight) -> None:
    made, events = _estimate(found, SerialExecutor())

    notes = [event for event in events if isinstance(event, Note)]
    assert notes == [Note(made.summary)]
    assert made.seconds > 0
    assert made.low_s < made.seconds < made.high_s


def test_as_many_processes_time_as_will_train_at_once(found: Preflight) -> None:
    four = Timed(4, GPU)
    made, _ = _estimate(found, four)

    assert four.looked_at == made.in_flight == 4
    # All four on one GPU: a quarter each.
    alone, _ = _estimate(found, Timed(1, GPU))
    assert made.gpu_hours == pytest.approx(alone.gpu_hours / 4)


def test_of_many_that_train_at_once_some_time(found: Preflight) -> None:
    many = Timed(100, CPU)
    made, _ = _estimate(found, many)

    assert (many.looked_at, made.in_flight) == (16, 100)


def test_a_process_that_fails_costs_the_job_nothing(found: Preflight) -> None:
    made, events = _estimate(found, Timed(2, TrainingError("its process failed")))

    assert (made.seconds, made.untimed) == (None, "its process failed")
    assert [type(event) for event in events] == [Note]


def test_a_job_that_is_cancelled_meanwhile_ends(found: Preflight) -> None:
    with pytest.raises(Cancelled):
        _estimate(found, Timed(2, Cancelled("cancelled")))
