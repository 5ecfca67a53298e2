"""The estimate at the start of a job."""

import time
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
    """An executor that returns a given timing for every measurement."""

    def __init__(self, at_once: int, answer: Timing | Exception) -> None:
        super().__init__()
        self._at_once, self._answer = at_once, answer
        self.looked_at = 0

    @property
    def at_once(self) -> int:
        return self._at_once

    def measure(self, function: Any, networks: Any, split: Any, batch_size: int, report: Any) -> list[Any]:
        self.looked_at = len(networks)
        if isinstance(self._answer, Exception):
            raise self._answer
        return [self._answer for _ in networks]


@pytest.fixture(scope="module")
def preflight() -> Preflight:
    return check(SPEC, data_root=None, weights=None)


def _estimate(preflight: Preflight, executor: SerialExecutor) -> tuple[Any, list[Event]]:
    events: list[Event] = []
    train = data.load(SPEC.data, root=None, channels=1, image_size=8, seed=0).train
    return estimate_before_run(SPEC, preflight, train, executor, events.append, time.monotonic() - 1000), events


def test_the_estimate_is_a_note_and_is_timed_on_the_executor_itself(preflight: Preflight) -> None:
    made, events = _estimate(preflight, SerialExecutor())

    notes = [event for event in events if isinstance(event, Note)]
    assert notes == [Note(made.summary)]
    assert made.before_s > 1000
    assert made.seconds > made.before_s
    assert made.low_s < made.seconds < made.high_s


def test_as_many_trainings_are_timed_at_once_as_will_run_at_once(preflight: Preflight) -> None:
    four = Timed(4, GPU)
    made, _ = _estimate(preflight, four)

    assert four.looked_at == made.in_flight == 4
    # All four on one GPU: a quarter each.
    alone, _ = _estimate(preflight, Timed(1, GPU))
    assert made.gpu_hours == pytest.approx(alone.gpu_hours / 4)


def test_at_most_sixteen_trainings_are_timed_at_once(preflight: Preflight) -> None:
    many = Timed(100, CPU)
    made, _ = _estimate(preflight, many)

    assert (many.looked_at, made.in_flight) == (16, 100)


def test_a_job_goes_on_if_its_timing_fails(preflight: Preflight) -> None:
    made, events = _estimate(preflight, Timed(2, TrainingError("its process failed")))

    assert (made.seconds, made.untimed) == (None, "its process failed")
    assert [type(event) for event in events] == [Note]


def test_a_job_that_is_cancelled_during_timing_ends(preflight: Preflight) -> None:
    with pytest.raises(Cancelled):
        _estimate(preflight, Timed(2, Cancelled("cancelled")))
