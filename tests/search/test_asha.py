"""ASHA against a transcription of the published algorithm, and its end, which the published one does not have."""

from math import inf
from random import Random

import pytest
from ConfigSpace import ConfigurationSpace
from hypothesis import given, settings
from hypothesis import strategies as st

from safs.search.asha import Asha
from safs.search.conductor import Conductor
from safs.search.replay import Replayed
from safs.spec.halving import HalvingOptions, brackets, levels
from safs.trials import Candidate, Config, Outcome, Trial

SPACE = ConfigurationSpace({f"layers.{site}.relu": ["relu", "elu", "tanh", "swish"] for site in range(6)})
FROM_ONE = HalvingOptions(min_epochs=1)
"""Trials are compared after 1, 3 and 9 epochs."""


def make(trials: int = 27, epochs: int = 9, seed: int = 0, **settings: int) -> Asha:
    return Asha(SPACE, trials=trials, epochs=epochs, seed=seed, options=HalvingOptions(**{"min_epochs": 1} | settings))


def loss_of(candidate: Candidate) -> float:
    """A loss that depends on config and epochs; more epochs never make it worse."""
    draws = [Random(f"{sorted(candidate.config.items())} {epoch}").random() for epoch in range(1, candidate.epochs + 1)]
    return min(draws)


def run(strategy: Asha | Replayed, window: int = 1) -> list[Trial]:
    conductor = Conductor(strategy, window)
    trials: list[Trial] = []
    while (candidate := conductor.next()) is not None:
        outcome = Outcome(loss_of(candidate))
        conductor.done(candidate.number, outcome)
        trials.append(Trial(candidate, outcome))
    assert conductor.finished
    return trials


def published(trials: list[Trial], levels: tuple[int, ...], eta: int) -> list[tuple[int, int | None]]:
    """Proposals of algorithm 2 of Li et al. for outcomes that come one by one: (epochs, promoted trial)."""
    rungs: list[list[Trial]] = [[] for _ in levels]
    taken: list[set[int]] = [set() for _ in levels]
    jobs = []
    for trial in trials:
        job: tuple[int, int | None] = (levels[0], None)
        for k in reversed(range(len(levels) - 1)):
            top = sorted(rungs[k], key=lambda t: t.outcome.loss)[: len(rungs[k]) // eta]
            promotable = [t.candidate.number for t in top if t.candidate.number not in taken[k]]
            if promotable:
                taken[k].add(promotable[0])
                job = (levels[k + 1], promotable[0])
                break
        jobs.append(job)
        rungs[levels.index(trial.candidate.epochs)].append(trial)
    return jobs


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 1000), st.integers(1, 40), st.sampled_from([2, 3, 4]))
def test_until_all_configurations_are_drawn_it_is_the_published_algorithm(seed: int, count: int, eta: int) -> None:
    trials = run(make(count, epochs=16, seed=seed, eta=eta))

    last_draw = max(trial.candidate.number for trial in trials if trial.candidate.continues is None)
    found = [(trial.candidate.epochs, trial.candidate.continues) for trial in trials[: last_draw + 1]]
    assert found == published(trials[: last_draw + 1], levels(16, HalvingOptions(eta=eta, min_epochs=1)), eta)


@pytest.mark.parametrize("window", [1, 2, 5])
@pytest.mark.parametrize("count", [1, 2, 5, 30])
def test_at_least_one_trial_is_trained_to_the_end_and_few_are(count: int, window: int) -> None:
    strategy = make(count)
    trials = run(strategy, window)

    lengths = [trial.candidate.epochs for trial in trials]
    assert lengths.count(1) == count
    assert 1 <= lengths.count(9) <= max(1, count // 4)
    assert len(trials) >= strategy.expected_trials


def test_the_default_comes_first_then_the_first_candidates_then_fresh_draws() -> None:
    default = dict(SPACE.get_default_configuration())
    first: Config = {**default, "layers.0.relu": "tanh"}
    strategy = Asha(SPACE, trials=8, epochs=9, seed=0, firsts=[default, first, first], options=FROM_ONE)

    drawn = [trial.candidate.config for trial in run(strategy) if trial.candidate.continues is None]

    assert drawn[:2] == [default, first]
    assert len({tuple(config.items()) for config in drawn}) == len(drawn) == 8


def told(strategy: Asha, outcomes: list[Outcome]) -> Candidate | None:
    """The proposals after these outcomes of the first candidates, all in flight together."""
    candidates = [strategy.ask() for _ in outcomes]
    for candidate, outcome in zip(candidates, outcomes, strict=True):
        assert candidate is not None
        strategy.tell(candidate, outcome)
    return strategy.ask()


def test_equal_losses_go_by_cross_entropy_and_then_to_the_older() -> None:
    tied = [Outcome(0.5, {"cross_entropy": value}) for value in (1.2, 1.1, 1.1)]

    promoted = told(make(), tied)

    assert promoted is not None
    assert (promoted.continues, promoted.epochs, promoted.horizon) == (1, 3, 9)


def test_what_broke_down_or_was_left_is_never_promoted() -> None:
    hopeless = [Outcome(inf, error="diverged"), Outcome(0.1, left="predicts one class only after 2 epochs")]

    assert told(make(trials=3), [*hopeless, Outcome(0.9)]).continues == 2
    assert told(make(trials=2), hopeless) is None


def test_a_space_that_is_exhausted_ends_the_draws_and_not_the_promotions() -> None:
    space = ConfigurationSpace({"a": ["relu", "elu"], "b": ["relu", "elu"]})

    trials = run(Asha(space, trials=50, epochs=9, seed=0, options=FROM_ONE))

    assert [trial.candidate.epochs for trial in trials].count(1) == 4
    assert max(trial.candidate.epochs for trial in trials) == 9


def test_a_search_that_goes_on_elsewhere_knows_its_trials_and_promotes_them() -> None:
    recorded = run(make(trials=12, seed=1), window=3)[:10]
    search = Replayed(lambda: make(trials=12, seed=2), {trial.candidate.number: trial for trial in recorded})

    rest = run(search, window=3)

    assert search.diverged is not None
    everything = [*recorded, *rest]
    fresh = [trial.candidate for trial in everything if trial.candidate.continues is None]
    assert len(fresh) == 12
    promotions = [trial.candidate.continues for trial in everything if trial.candidate.continues is not None]
    assert len(promotions) == len(set(promotions))
    assert {trial.candidate.seed for trial in rest if trial.candidate.number > 9} == {2}


def test_a_foreign_trial_of_another_schedule_is_not_promoted() -> None:
    strategy = make(trials=2)
    config = {f"layers.{site}.relu": "tanh" for site in range(6)}
    strategy.tell(Candidate(0, config, 1, seed=0), Outcome(0.1))

    promoted = told(strategy, [Outcome(0.5)])

    assert promoted is not None
    assert (promoted.continues, promoted.config != config) == (1, True)


def test_by_default_no_trial_is_judged_while_one_cycle_still_rises_in_its_first_epoch() -> None:
    longest = range(2, 81)

    first = [levels(epochs, HalvingOptions())[0] for epochs in longest]

    assert first == [max(2, -(-epochs // 9)) for epochs in longest]
    assert levels(1, HalvingOptions()) == (1,)


def test_levels_are_powers_of_eta_and_end_at_the_searchs_epochs() -> None:
    assert levels(80, HalvingOptions(eta=4, min_epochs=5)) == (5, 20, 80)
    assert levels(4, HalvingOptions(min_epochs=6)) == (4,)


def test_hyperbands_brackets_are_those_of_its_papers_example() -> None:
    # Table 1 of arXiv:1603.06560: R = 81, eta = 3; n = 81, 34, 15, 8, 5 with S + 1 = 5 brackets.
    assert list(brackets(143, depth=5, eta=3)) == [(0, 81), (1, 34), (2, 15), (3, 8), (4, 5)]
