"""Annealing, genetic and exchange: the behaviour that defines each; every strategy that learns beats random draws."""

from collections.abc import Callable
from math import exp, inf
from random import Random
from statistics import fmean

import pytest
from ConfigSpace import ConfigurationSpace, UniformFloatHyperparameter

from safs.errors import SpecError
from safs.search import STRATEGIES, Strategy, make_strategy
from safs.search.annealing import Annealing, AnnealingOptions
from safs.search.conductor import Conductor
from safs.search.exchange import Exchange, ExchangeOptions
from safs.search.genetic import Genetic, GeneticOptions
from safs.spec.searches import ActivationsSpec
from safs.trials import Config, Outcome

OPERATORS = [f"op{number}" for number in range(8)]
SITES = [f"s{site}" for site in range(6)]
SPACE = ConfigurationSpace(dict.fromkeys(SITES, OPERATORS))


def toy(seed: int) -> Callable[[Config], float]:
    """A separable objective: the mean over sites of a random number for each site and operator."""
    random = Random(seed)
    table = {(site, operator): random.random() for site in SITES for operator in OPERATORS}
    return lambda config: fmean(table[site, str(operator)] for site, operator in config.items())


def run(strategy: Strategy, loss: Callable[[Config], float], window: int = 1) -> tuple[list[Config], list[float]]:
    conductor = Conductor(strategy, window)
    configs: list[Config] = []
    losses: list[float] = []
    while (candidate := conductor.next()) is not None:
        configs.append(candidate.config)
        losses.append(loss(candidate.config))
        conductor.done(candidate.number, Outcome(losses[-1]))
    return configs, losses


def distance(one: Config, other: Config) -> int:
    return sum(one[site] != other[site] for site in SITES)


@pytest.mark.parametrize("name", ["annealing", "genetic", "exchange"])
@pytest.mark.parametrize("window", [1, 4])
def test_no_state_is_tried_twice_and_a_small_space_is_searched_to_its_end(name: str, window: int) -> None:
    small = ConfigurationSpace({"a": ["relu", "elu", "tanh"], "b": ["relu", "elu"]})
    configs, _ = run(STRATEGIES[name].make(small, trials=40, epochs=1, seed=3), lambda config: len(str(config)), window)
    assert len({tuple(config.items()) for config in configs}) == len(configs) == 6


@pytest.mark.parametrize("kind", [Annealing, Genetic, Exchange])
def test_other_than_categorical_spaces_are_refused(kind: Callable[..., Strategy]) -> None:
    space = ConfigurationSpace()
    space.add(UniformFloatHyperparameter("rate", 0.0, 1.0))
    with pytest.raises(SpecError, match=r"'rate' is a UniformFloat.*use smac or random"):
        kind(space, trials=5, epochs=1, seed=0)


def test_options_come_from_the_job_and_a_misspelt_one_is_named() -> None:
    section = ActivationsSpec(strategy="genetic", trials=20, epochs=1, options={"population": 10})
    strategy = make_strategy(section, SPACE, 0, field="activations")
    assert None not in [strategy.ask() for _ in range(10)]
    assert strategy.ask() is None
    wrong = ActivationsSpec(strategy="genetic", options={"populatoin": 10})
    with pytest.raises(SpecError, match=r"remove 'populatoin'. Did you mean 'population'") as caught:
        make_strategy(wrong, SPACE, 0, field="activations")
    assert caught.value.field == "activations.options.populatoin"


def test_annealing_moves_one_site_at_a_time() -> None:
    configs, losses = run(
        Annealing(SPACE, trials=40, epochs=1, seed=1, options=AnnealingOptions(start_temperature=1e-9)), toy(1)
    )
    current, energy = configs[0], losses[0]
    for config, loss in zip(configs[1:], losses[1:], strict=True):  # At this temperature it accepts no worse state.
        assert distance(config, current) == 1
        if loss <= energy:
            current, energy = config, loss


def test_annealing_accepts_a_worse_state_with_the_probability_of_metropolis() -> None:
    # The second state costs 0.1 more than the first, at a temperature of 0.1.
    accepted = 0
    for seed in range(400):
        strategy = Annealing(
            SPACE, trials=10, epochs=1, seed=seed, options=AnnealingOptions(start_temperature=0.1, cooling=1.0)
        )
        first = strategy.ask()
        assert first is not None
        strategy.tell(first, Outcome(0.2))
        second = strategy.ask()
        assert second is not None
        strategy.tell(second, Outcome(0.3))
        third = strategy.ask()
        assert third is not None
        # From the first state, the third differs from it in one site; from the second, mostly in two.
        accepted += distance(third.config, first.config) == 2
    # A move away from the second changes its own site again in one of six cases: 400 * exp(-1) * 5/6 = 122.6.
    expected = 400 * exp(-1) * 5 / 6
    assert abs(accepted - expected) < 4 * (expected * (1 - expected / 400)) ** 0.5


def test_annealing_measures_its_temperature_on_the_objective() -> None:
    # The search does not depend on the unit of the loss.
    loss = toy(2)
    configs, _ = run(Annealing(SPACE, trials=40, epochs=1, seed=2), loss)
    scaled, _ = run(Annealing(SPACE, trials=40, epochs=1, seed=2), lambda config: loss(config) / 128)
    assert configs == scaled


def test_annealing_leaves_a_state_that_broke_down_at_once() -> None:
    strategy = Annealing(SPACE, trials=10, epochs=1, seed=0, options=AnnealingOptions(start_temperature=0.1))
    first = strategy.ask()
    assert first is not None
    strategy.tell(first, Outcome(inf, error="diverged"))
    second = strategy.ask()
    assert second is not None
    strategy.tell(second, Outcome(0.9))
    third = strategy.ask()
    assert third is not None
    assert distance(third.config, second.config) == 1


def test_a_generation_is_the_same_however_many_are_in_flight() -> None:
    options = GeneticOptions(population=8)
    serial, _ = run(Genetic(SPACE, trials=40, epochs=1, seed=5, options=options), toy(3))
    parallel, _ = run(Genetic(SPACE, trials=40, epochs=1, seed=5, options=options), toy(3), window=5)
    assert serial == parallel


def test_without_mutation_children_hold_only_what_their_parents_hold() -> None:
    options = GeneticOptions(population=12, mutation=0.0, elites=2)
    configs, losses = run(Genetic(SPACE, trials=22, epochs=1, seed=5, options=options), toy(4))
    parents, children = configs[:12], configs[12:]
    assert len(children) == 10
    for child in children:
        foreign = [site for site in SITES if child[site] not in {parent[site] for parent in parents}]
        assert len(foreign) <= 1  # A child that was tried before had to mutate.
    assert fmean(losses[12:]) < fmean(losses[:12])


def test_exchange_finds_the_optimum_of_a_separable_objective_in_two_rounds() -> None:
    for seed in range(10):
        loss = toy(seed)
        _, losses = run(Exchange(SPACE, trials=2 * 6 * 7 + 1, epochs=1, seed=seed), loss)
        assert min(losses) == pytest.approx(min_of(loss))


def min_of(loss: Callable[[Config], float]) -> float:
    """The optimum of a separable objective, site by site."""
    config: Config = dict.fromkeys(SITES, "op0")
    for site in SITES:
        config[site] = min(OPERATORS, key=lambda operator: loss(config | {site: operator}))
    return loss(config)


def test_exchange_kicks_the_best_state_at_a_local_optimum() -> None:
    # Every operator but op0 costs a site, so that the climb ends at op0 everywhere; then sites are drawn anew.
    def loss(config: Config) -> float:
        return sum(operator != "op0" for operator in config.values()) / 6

    configs, losses = run(Exchange(SPACE, trials=140, epochs=1, seed=0, options=ExchangeOptions(kick=0.5)), loss)
    found = losses.index(0.0)
    after = [distance(config, configs[found]) for config in configs[found + 1 :]]
    assert after[: 6 * 7 - 6].count(1) >= 20  # First the rest of the round, one exchange each.
    assert max(after) in (2, 3, 4)  # Three sites are drawn anew, and one is exchanged from there.


@pytest.mark.parametrize(
    ("name", "trials", "seeds"),
    [("annealing", 60, 20), ("genetic", 60, 20), ("exchange", 60, 20), ("tpe", 40, 3), ("gp", 18, 2)],
)
def test_beats_random_draws_on_a_separable_objective(name: str, trials: int, seeds: int) -> None:
    def best_of(strategy: str, seed: int) -> float:
        return min(run(STRATEGIES[strategy].make(SPACE, trials=trials, epochs=1, seed=seed), toy(seed))[1])

    found = fmean(best_of(name, seed) for seed in range(seeds))
    random = fmean(best_of("random", seed) for seed in range(20))
    assert found < random - 0.02
