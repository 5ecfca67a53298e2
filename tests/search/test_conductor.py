"""Candidates depend on the window, never on timing."""

from collections.abc import Callable, Iterable
from math import inf
from random import Random
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safs.search import STRATEGIES, Strategy
from safs.search.conductor import Conductor, window_for
from safs.trials import Candidate, Outcome
from search_spaces.activations import activation_space

SPACE = activation_space(["a", "b", "c"], ["relu", "elu", "tanh"], seed=0)


class Recorder:
    """A strategy that records its calls, and at each of ``pauses`` proposes nothing until it is told an outcome."""

    asks_ahead = False

    def __init__(self, trials: int, pauses: Iterable[int] = ()) -> None:
        self.expected_trials = trials
        self.log: list[str] = []
        self._asked = 0
        self._pauses = set(pauses)

    def ask(self) -> Candidate | None:
        if self._asked == self.expected_trials or self._asked in self._pauses:
            self._pauses.discard(self._asked)
            self.log.append("ask none")
            return None
        self.log.append(f"ask {self._asked}")
        self._asked += 1
        return Candidate(self._asked - 1, {}, epochs=1, seed=0)

    def tell(self, candidate: Candidate, outcome: Outcome) -> None:
        self.log.append(f"tell {candidate.number}{'' if outcome.error is None else ' failed'}")


def judged(candidate: Candidate) -> Outcome:
    if candidate.number % 5 == 1:
        return Outcome(inf, error="diverged")
    return Outcome(crc32(repr(sorted(candidate.config.items())).encode()) / 2**32)


def drive(strategy: Strategy, window: int, choose: Callable[[int], int]) -> list[Candidate]:
    """Run the search; ``choose(n)`` picks the next of n possible events."""
    conductor = Conductor(strategy, window)
    running: list[Candidate] = []
    started: list[Candidate] = []
    while not conductor.finished:
        event = choose(len(running) + 2)
        if event < len(running):
            candidate = running.pop(event)
            conductor.done(candidate.number, judged(candidate))
        elif event == len(running) + 1:
            conductor.advance()
        elif (candidate_or_none := conductor.next()) is not None:
            running.append(candidate_or_none)
            started.append(candidate_or_none)
            assert len(running) <= window
    return started


@given(st.integers(1, 6), st.sampled_from(["lahc", "random"]), st.integers(0, 99), st.randoms(use_true_random=False))
def test_candidates_are_the_same_for_every_order_of_completion(
    window: int, name: str, seed: int, random: Random
) -> None:
    def make() -> Strategy:
        return STRATEGIES[name].make(SPACE, trials=8, epochs=2, seed=seed)

    reference: list[Candidate] = []
    conductor = Conductor(make(), window)
    while (candidate := conductor.next()) is not None:
        reference.append(candidate)
        conductor.done(candidate.number, judged(candidate))

    shuffled = drive(make(), window, random.randrange)

    assert shuffled == reference


@given(st.integers(1, 6), st.integers(0, 9), st.sets(st.integers(0, 8)), st.randoms(use_true_random=False))
def test_calls_reach_the_strategy_in_one_order(window: int, trials: int, pauses: set[int], random: Random) -> None:
    serial, shuffled = Recorder(trials, pauses), Recorder(trials, pauses)
    conductor = Conductor(serial, window)
    while (candidate := conductor.next()) is not None:
        conductor.done(candidate.number, judged(candidate))
    drive(shuffled, window, random.randrange)
    assert shuffled.log == serial.log


def test_each_candidate_is_asked_as_soon_as_the_window_has_room() -> None:
    strategy = Recorder(trials=5)
    conductor = Conductor(strategy, window=3)
    conductor.advance()
    assert conductor.ready == 3
    for _ in range(3):
        assert conductor.next() is not None
    conductor.done(2, Outcome(0.1))
    conductor.done(1, Outcome(inf, error="diverged"))
    assert conductor.next() is None
    conductor.done(0, Outcome(0.2))
    conductor.advance()
    expected = "ask 0, ask 1, ask 2, tell 0, ask 3, tell 1 failed, ask 4, tell 2, ask none"
    assert ", ".join(strategy.log) == expected


def test_failed_trials_are_told_too() -> None:
    strategy = Recorder(trials=7)
    drive(strategy, window=1, choose=lambda count: 0)
    assert [entry for entry in strategy.log if "tell" in entry] == [
        "tell 0", "tell 1 failed", "tell 2", "tell 3", "tell 4", "tell 5", "tell 6 failed",
    ]  # fmt: skip


def test_a_strategy_that_had_no_more_goes_on_after_the_next_tell() -> None:
    strategy = Recorder(trials=3, pauses=[1])
    conductor = Conductor(strategy, window=2)
    assert conductor.next() is not None
    assert conductor.next() is None
    assert not conductor.finished
    conductor.done(0, Outcome(0.5))
    assert [conductor.next(), conductor.next()] == [Candidate(1, {}, 1, 0), Candidate(2, {}, 1, 0)]


def test_finished_once_all_are_told() -> None:
    conductor = Conductor(Recorder(trials=1), window=4)
    assert not conductor.finished
    assert conductor.next() is not None
    assert conductor.next() is None
    assert not conductor.finished
    conductor.done(0, Outcome(0.5))
    conductor.advance()
    assert conductor.finished


@pytest.mark.parametrize("number", [0, 1])
def test_outcome_of_a_candidate_that_is_not_running_is_refused(number: int) -> None:
    conductor = Conductor(Recorder(trials=3), window=2)
    conductor.next()
    conductor.done(0, Outcome(0.5))
    with pytest.raises(KeyError):
        conductor.done(number, Outcome(0.5))


@pytest.mark.parametrize(
    ("slots", "asks_ahead", "window"), [(1, False, 1), (1, True, 2), (2, False, 4), (2, True, 4), (8, False, 10)]
)
def test_window_keeps_workers_busy(slots: int, asks_ahead: bool, window: int) -> None:
    strategy = Recorder(trials=1)
    strategy.asks_ahead = asks_ahead
    assert window_for(slots, strategy) == window
