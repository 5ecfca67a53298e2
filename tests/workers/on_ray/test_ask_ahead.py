from threading import Event

import pytest

from safs.errors import Cancelled
from safs.search.conductor import Conductor
from safs.trials import Candidate, Outcome
from workers.on_ray import ask_ahead
from workers.on_ray.ask_ahead import AskAhead

FAIR = Outcome(0.5, {"accuracy": 0.5})


class Counting:
    """Proposes ``trials`` candidates.

    Args:
        hold_at: number of the candidate before which it blocks until ``go`` is set; -1 never blocks.
        fail_at: number of the candidate in whose place it raises; -1 never raises.
    """

    asks_ahead = True

    def __init__(self, trials: int, *, hold_at: int = -1, fail_at: int = -1) -> None:
        self.expected_trials = trials
        self.told: list[int] = []
        self.go = Event()
        self._made, self._hold_at, self._fail_at = 0, hold_at, fail_at

    def ask(self) -> Candidate | None:
        if self._made == self.expected_trials:
            return None
        if self._made == self._hold_at:
            self.go.wait()
        if self._made == self._fail_at:
            raise ValueError("no more ideas")
        self._made += 1
        return Candidate(self._made - 1, {}, 1, 0)

    def tell(self, candidate: Candidate, outcome: Outcome) -> None:
        self.told.append(candidate.number)


def test_every_candidate_comes_out_once_and_in_order_and_the_strategy_gets_its_outcome() -> None:
    strategy = Counting(5)
    candidates: list[int] = []

    with AskAhead(Conductor(strategy, window=2)) as asks:
        while not asks.finished:
            if (candidate := asks.next()) is not None:
                candidates.append(candidate.number)
                asks.done(candidate.number, FAIR)

    assert candidates == [0, 1, 2, 3, 4]
    assert strategy.told == [0, 1, 2, 3, 4]


def test_next_does_not_wait_for_a_slow_ask_while_trials_run() -> None:
    strategy = Counting(3, hold_at=1)

    with AskAhead(Conductor(strategy, window=1)) as asks:
        first = asks.next()
        assert first is not None
        # The window is full, and the strategy blocks in its next ask.
        assert asks.next() is None
        asks.done(first.number, FAIR)
        strategy.go.set()
        second = asks.next()  # No trial is running, so this waits for the strategy.

    assert second is not None
    assert (first.number, second.number) == (0, 1)


def test_the_next_candidates_are_asked_while_the_first_are_running() -> None:
    strategy = Counting(5, hold_at=3)

    with AskAhead(Conductor(strategy, window=3)) as asks:
        running: list[Candidate] = []
        while len(running) < 3:
            if (candidate := asks.next()) is not None:
                running.append(candidate)
        asks.done(0, FAIR)  # Now the strategy is asked for a fourth candidate, and blocks.
        assert asks.next() is None
        strategy.go.set()
        while (fourth := asks.next()) is None:
            pass

    assert [candidate.number for candidate in running] == [0, 1, 2]
    assert fourth.number == 3


def test_next_raises_what_the_strategy_raised() -> None:
    with (
        AskAhead(Conductor(Counting(3, fail_at=0), window=1)) as asks,
        pytest.raises(ValueError, match="no more ideas"),
    ):
        asks.next()


def test_the_thread_ends_with_the_block() -> None:
    with AskAhead(Conductor(Counting(100), window=1)) as asks:
        assert asks.next() is not None

    assert not asks._thread.is_alive()


def test_a_block_that_ends_with_an_error_does_not_wait_for_a_slow_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask_ahead, "JOIN_TIMEOUT_S", 0.05)
    strategy = Counting(3, hold_at=0)
    asks = AskAhead(Conductor(strategy, window=1))

    def interrupt() -> None:
        assert asks.next() is None
        raise Cancelled("cancelled by the user")

    with pytest.raises(Cancelled), asks:
        interrupt()

    assert asks._thread.is_alive()
    strategy.go.set()
    asks._thread.join()


def test_it_says_when_no_candidate_comes_before_further_outcomes() -> None:
    with AskAhead(Conductor(Counting(3), window=2)) as asks:
        first = [asks.next(), asks.next()]
        while not asks.waits:
            assert asks.next() is None
        asks.done(0, FAIR)
        assert not asks.waits
        third = next(candidate for candidate in iter(asks.next, 0) if candidate is not None)
        while not asks.waits:
            assert asks.next() is None
        for number in (1, 2):
            asks.done(number, FAIR)
        while not asks.finished:
            asks.next()

    assert [candidate.number for candidate in (*first, third) if candidate is not None] == [0, 1, 2]
