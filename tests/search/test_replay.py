"""Resuming the search of an earlier attempt, and starting from given candidates."""

from collections.abc import Sequence
from math import inf

from ConfigSpace import ConfigurationSpace
from hypothesis import given
from hypothesis import strategies as st

from safs.search import Replayed, WarmStart
from safs.search.conductor import Conductor
from safs.search.lahc import LateAcceptance
from safs.search.random import RandomSearch
from safs.search.strategy import Proposals, Strategy
from safs.trials import Candidate, Config, Outcome, Trial

SPACE = ConfigurationSpace({site: ["relu", "elu", "tanh"] for site in "abc"})


class Scripted:
    """Proposes the given configs in turn, then one more for every foreign trial; records what it is told."""

    asks_ahead = False

    def __init__(self, configs: Sequence[Config], trials: int | None = None) -> None:
        self._configs = list(configs)
        self._proposals = Proposals(epochs=2, seed=5)
        self.expected_trials = len(configs) if trials is None else trials
        self.told: list[tuple[int, float]] = []

    def ask(self) -> Candidate | None:
        if not self._configs or self._proposals.made >= self.expected_trials:
            return None
        return self._proposals.propose(self._configs.pop(0))

    def tell(self, candidate: Candidate, outcome: Outcome) -> None:
        self._proposals.told(candidate)
        self.told.append((candidate.number, outcome.loss))


def config(value: int) -> Config:
    return {"value": value}


def recorded(*values: int) -> dict[int, Trial]:
    return {
        number: Trial(Candidate(number, config(value), epochs=2, seed=5), Outcome(value / 100))
        for number, value in enumerate(values)
    }


def run(strategy: Strategy, window: int = 1) -> list[Trial]:
    """All trials in order; a config's loss is a hundredth of its value, or the count of relus."""
    conductor = Conductor(strategy, window)
    trials: list[Trial] = []
    while (candidate := conductor.next()) is not None:
        value = candidate.config.get("value", sum(choice == "relu" for choice in candidate.config.values()))
        trials.append(Trial(candidate, Outcome(float(value) / 100)))
        conductor.done(candidate.number, trials[-1].outcome)
    assert conductor.finished
    return trials


def numbers(trials: Sequence[Trial]) -> list[int]:
    return [trial.candidate.number for trial in trials]


def test_a_replay_that_matches_is_transparent() -> None:
    replayed = Replayed(lambda: Scripted([config(value) for value in (3, 1, 2)]), recorded(3, 1))
    assert [trial.candidate.config for trial in run(replayed)] == [config(3), config(1), config(2)]
    assert (replayed.diverged, replayed.adopted) == (None, [])


def test_at_the_first_mismatch_a_fresh_strategy_is_told_all_that_is_known() -> None:
    made: list[Scripted] = []

    def make() -> Strategy:
        made.append(Scripted([config(value) for value in (3, 8, 9)], trials=5))
        return made[-1]

    replayed = Replayed(make, recorded(3, 1, 2))
    trials = run(replayed)

    assert numbers(trials) == [0, 3, 4]
    assert made[1].told == [(0, 0.03), (1, 0.01), (2, 0.02), (3, 0.03), (4, 0.08)]
    assert numbers(replayed.adopted) == [1, 2]
    assert replayed.diverged is not None
    assert "candidate 1" in replayed.diverged
    assert "{'value': 1}" in replayed.diverged
    assert "{'value': 8}" in replayed.diverged


def test_what_is_in_flight_at_the_mismatch_is_told_when_it_comes_and_counts() -> None:
    made: list[Scripted] = []

    def make() -> Strategy:
        made.append(Scripted([config(value) for value in (1, 2, 3, 4, 5)], trials=4))
        return made[-1]

    known = {number: trial for number, trial in recorded(1, 0, 9).items() if number != 1}
    replayed = Replayed(make, known)  # Trial 1 was never finished, and trial 2 now has another config.
    trials = run(replayed, window=3)

    assert numbers(trials) == [0, 1, 3]
    assert made[1].told == [(0, 0.01), (2, 0.09), (1, 0.02), (3, 0.01)]
    assert numbers(replayed.adopted) == [2]


def test_other_epochs_seeds_or_horizons_are_a_mismatch() -> None:
    for other in (
        Candidate(0, config(3), epochs=4, seed=5),
        Candidate(0, config(3), epochs=2, seed=6),
        Candidate(0, config(3), epochs=2, seed=5, horizon=6),
    ):
        replayed = Replayed(lambda: Scripted([config(3)], trials=2), {0: Trial(other, Outcome(0.5))})
        run(replayed)
        assert replayed.diverged is not None


def test_known_trials_that_nothing_proposes_any_more_are_adopted() -> None:
    replayed = Replayed(lambda: Scripted([config(3)]), recorded(3, 1))
    assert numbers(run(replayed)) == [0]
    assert numbers(replayed.adopted) == [1]
    assert replayed.diverged is not None
    assert "nothing more is proposed" in replayed.diverged


@given(st.integers(0, 99), st.integers(1, 4), st.sets(st.integers(0, 11)), st.integers(0, 11))
def test_nothing_known_is_run_again_and_the_budget_holds(
    seed: int, window: int, missing: set[int], changed: int
) -> None:
    def make() -> Strategy:
        return RandomSearch(SPACE, trials=12, epochs=2, seed=seed)

    whole = run(make(), window)
    known = {trial.candidate.number: trial for trial in whole if trial.candidate.number not in missing}
    assert run(Replayed(make, known), window) == whole

    if changed in known:
        candidate = known[changed].candidate
        known[changed] = Trial(Candidate(changed, candidate.config, 3, candidate.seed), known[changed].outcome)
        replayed = Replayed(make, known)
        again = run(replayed, window)
        assert replayed.diverged is not None
        assert f"candidate {changed} " in replayed.diverged
        assert not set(numbers(again)) & set(numbers(replayed.adopted))
        assert len(again) + len(replayed.adopted) <= 12
        assert set(known) <= set(numbers(again)) | set(numbers(replayed.adopted))


def test_first_candidates_come_first_and_count_among_the_trials() -> None:
    own = Scripted([config(value) for value in (1, 2, 3)], trials=4)
    trials = run(WarmStart(own, [config(7), config(8), config(7)], epochs=2, seed=5), window=3)
    assert [trial.candidate.config for trial in trials] == [config(7), config(8), config(1), config(2)]
    assert numbers(trials) == [0, 1, 2, 3]
    assert own.told[:2] == [(0, 0.07), (1, 0.08)]


def test_the_strategy_is_asked_once_all_first_candidates_are_told() -> None:
    strategy = WarmStart(Scripted([config(1)], trials=3), [config(7), config(8)], epochs=2, seed=5)
    first, second = strategy.ask(), strategy.ask()
    assert first is not None
    assert second is not None
    strategy.tell(first, Outcome(0.5))
    assert strategy.ask() is None
    strategy.tell(second, Outcome(inf, error="diverged"))
    assert strategy.ask() == Candidate(2, config(1), 2, 5)


def test_more_first_candidates_than_trials_are_cut() -> None:
    trials = run(WarmStart(Scripted([], trials=2), [config(value) for value in range(5)], epochs=2, seed=5))
    assert numbers(trials) == [0, 1]


def test_a_first_candidate_that_is_known_already_is_not_tried_again() -> None:
    strategy = WarmStart(Scripted([config(1)], trials=3), [config(7), config(8)], epochs=2, seed=5)
    strategy.tell(Candidate(4, config(7), 2, 5), Outcome(0.5))
    asked = strategy.ask()
    assert asked == Candidate(5, config(8), 2, 5)
    strategy.tell(asked, Outcome(0.4))
    assert strategy.ask() == Candidate(6, config(1), 2, 5)


def test_lahc_goes_on_from_the_best_of_its_first_candidates() -> None:
    firsts: list[Config] = [{"a": "relu", "b": "relu", "c": "relu"}, {"a": "elu", "b": "elu", "c": "elu"}]
    strategy = WarmStart(LateAcceptance(SPACE, trials=6, epochs=2, seed=5), firsts, epochs=2, seed=5)
    trials = run(strategy)
    third = trials[2].candidate.config
    changed = [site for site in third if third[site] != "elu"]
    assert len(changed) <= 1  # A random operator at a site, and a swap of equal ones.
