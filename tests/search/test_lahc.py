"""LAHC against a literal transcription of its published pseudo code."""

from collections.abc import Callable
from math import inf, nan, sqrt
from random import Random
from statistics import fmean, stdev

import pytest
from ConfigSpace import CategoricalHyperparameter, ConfigurationSpace, UniformFloatHyperparameter
from hypothesis import given
from hypothesis import strategies as st

from safs.errors import SpecError
from safs.search.conductor import Conductor
from safs.search.lahc import LateAcceptance
from safs.search.random import RandomSearch
from safs.search.strategy import Strategy
from safs.search.warm_start import WarmStart
from safs.trials import Outcome
from search_spaces.activations import activation_space

Energy = Callable[[list[str]], float]
OPERATORS = [f"op{number}" for number in range(13)]


def space_of(sites: int) -> ConfigurationSpace:
    # Two digits, so that the space's order by name is the order of the numbers.
    return activation_space([f"layers.{site:02}.relu" for site in range(sites)], OPERATORS, seed=0)


def toy(sites: int, seed: int) -> Energy:
    """The separable objective of the search comparison: the mean of a random number per site and operator."""
    random = Random(f"toy {seed}")
    table = [{operator: random.random() for operator in OPERATORS} for _ in range(sites)]
    return lambda state: fmean(row[operator] for row, operator in zip(table, state, strict=True))


def published(sites: int, steps_minimum: int, energy: Energy, random: Random) -> list[list[str]]:
    """Every state that the pseudo code evaluates (package lahc 1.0.5, as automl/SAFS calls it)."""
    evaluated: list[list[str]] = []

    def counted(state: list[str]) -> float:
        evaluated.append(list(state))
        return energy(state)

    s = [random.choice(OPERATORS) for _ in range(sites)]
    e = counted(s)
    history = [e, e, e]
    step = idle = 0
    while not (step > steps_minimum and idle > 0.02 * step):
        kept = list(s)
        c = random.randrange(sites)
        s[c] = random.choice(OPERATORS)
        a, b = random.randrange(sites), random.randrange(sites)
        s[a], s[b] = s[b], s[a]
        e_new = counted(s)
        idle = idle + 1 if e_new >= e else 0
        v = step % 3
        if e_new < history[v] or e_new <= e:
            e = e_new
        else:
            s = kept
        if e_new < history[v]:
            history[v] = e_new
        step += 1
    return evaluated


def run(strategy: Strategy, energy: Energy, window: int = 1) -> tuple[list[list[str]], list[float]]:
    """The states that were tried, in order, and their energies."""
    conductor = Conductor(strategy, window)
    states: list[list[str]] = []
    energies: list[float] = []
    while (candidate := conductor.next()) is not None:
        states.append([str(operator) for operator in candidate.config.values()])
        energies.append(energy(states[-1]))
        conductor.done(candidate.number, Outcome(energies[-1]))
    return states, energies


@given(st.integers(0, 10_000), st.integers(1, 13), st.integers(1, 60))
def test_states_are_those_of_the_published_pseudo_code(seed: int, sites: int, trials: int) -> None:
    energy = toy(sites, seed)
    states, _ = run(LateAcceptance(space_of(sites), trials=trials, epochs=1, seed=seed), energy)
    assert states == published(sites, trials - 2, energy, Random(seed))


def test_twenty_two_trials_are_twenty_steps_and_a_little_more_while_improving() -> None:
    counts = []
    for seed in range(100):
        strategy = LateAcceptance(space_of(13), trials=22, epochs=1, seed=seed)
        counts.append(len(run(strategy, toy(13, seed))[0]))
    assert strategy.expected_trials == min(counts) == 22
    assert 22 < max(counts) <= 27


@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(1, 30))
def test_with_several_in_flight_it_stops_on_the_same_rule(seed: int, window: int, trials: int) -> None:
    strategy = LateAcceptance(space_of(5), trials=trials, epochs=1, seed=seed)
    _, energies = run(strategy, toy(5, seed), window)
    assert len(energies) >= trials
    if len(energies) > max(trials, 2):  # Only an improvement of the current state brings trials beyond the budget.
        assert min(energies[1:]) < energies[0]


def test_a_rejected_move_is_undone() -> None:
    # Trial 0 is the optimum, so every move to a worse state is rejected.
    first: list[str] = []

    def energy(state: list[str]) -> float:
        first.extend(state if not first else [])
        return sum(operator != best for operator, best in zip(state, first, strict=True)) / len(first)

    states, energies = run(LateAcceptance(space_of(13), trials=200, epochs=1, seed=3), energy)
    assert energies[0] == 0.0
    # A move touches three sites at most, so without undoing, differences would pile up.
    assert max(energies) <= 3 / 13
    assert len(states) == 200


def test_the_climb_starts_from_the_best_of_the_first_candidates() -> None:
    space = space_of(6)
    firsts = [dict.fromkeys(space, operator) for operator in OPERATORS[:4]]
    losses = dict(zip(OPERATORS, (0.90, 0.45, 0.60, 0.80), strict=False))
    conductor = Conductor(
        WarmStart(LateAcceptance(space, trials=12, epochs=1, seed=0), firsts, epochs=1, seed=0), window=1
    )
    states = []
    while (candidate := conductor.next()) is not None:
        states.append(list(candidate.config.values()))
        # Every move is worse than the best first candidate and better than all others.
        conductor.done(candidate.number, Outcome(losses[states[-1][0]] if len(states) <= 4 else 0.46))

    # A move draws one operator anew; swaps change nothing among equal ones. Neither state nor history ever moves on.
    assert len(states) == 12
    assert all(state.count("op1") >= 5 for state in states[4:])


@pytest.mark.parametrize("broken", [inf, nan])
def test_a_broken_first_trial_does_not_freeze_the_search(broken: float) -> None:
    count = 0
    energy_of = toy(13, seed=1)

    def energy(state: list[str]) -> float:
        nonlocal count
        count += 1
        return broken if count <= 3 else energy_of(state)

    states, energies = run(LateAcceptance(space_of(13), trials=60, epochs=1, seed=1), energy)
    assert min(energies[3:]) < energies[3] < inf
    assert len({tuple(state) for state in states}) > 30


def test_beats_random_search_on_the_published_toy_problem() -> None:
    space, gains = space_of(13), []
    for seed in range(150):
        energy = toy(13, seed)
        lahc = min(run(LateAcceptance(space, trials=22, epochs=1, seed=seed), energy)[1])
        random = min(run(RandomSearch(space, trials=22, epochs=1, seed=seed), energy)[1])
        gains.append(random - lahc)
    # About 0.03, six standard errors.
    assert fmean(gains) > 3 * stdev(gains) / sqrt(len(gains))


def test_a_space_without_common_choices_is_refused() -> None:
    rate = ConfigurationSpace()
    rate.add(UniformFloatHyperparameter("learning_rate", 1e-4, 1e-1))
    with pytest.raises(SpecError, match=r"learning_rate.*use smac or random"):
        LateAcceptance(rate, trials=5, epochs=1, seed=0)
    mixed = ConfigurationSpace()
    mixed.add(CategoricalHyperparameter("a", ["relu"]), CategoricalHyperparameter("b", ["relu", "elu"]))
    with pytest.raises(SpecError, match="2 different sets"):
        LateAcceptance(mixed, trials=5, epochs=1, seed=0)
