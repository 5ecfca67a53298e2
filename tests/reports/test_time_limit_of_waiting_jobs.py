"""The time limit of a job counts from its first training, so that a wait for cores does not use it up."""

import pytest

from safs.errors import TimeLimitReached
from safs.events.kinds import Event, Pulse, Stage, StageStarted, TrialStarted
from safs.pipeline import run
from safs.trials import Candidate


class Clock:
    """A stand-in for the module ``time`` with a clock that the test sets."""

    now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


def test_the_clock_starts_with_the_first_training_and_every_event_checks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, events = Clock(), list[Event]()
    monkeypatch.setattr(run, "time", clock)
    report = run._with_deadline(events.append, 20)

    report(StageStarted(Stage.DENSE, 1, 1))
    clock.now_s = 107.0
    report(Pulse())
    report(TrialStarted(Stage.DENSE, Candidate(0, {}, 1, 0)))
    clock.now_s = 127.0
    report(TrialStarted(Stage.PRUNE, Candidate(0, {}, 1, 0)))
    clock.now_s = 127.1
    with pytest.raises(TimeLimitReached, match="20 s"):
        report(Pulse())

    assert len(events) == 5
