"""The simulated counts of ASHA beside those of the strategy itself."""

from random import Random
from statistics import median

import pytest
from ConfigSpace import ConfigurationSpace, Float

from safs.estimates.asha_counts import asha_costs
from safs.search.asha import Asha
from safs.spec.halving import HalvingOptions, halving_cost, levels
from safs.trials import Candidate, Outcome

SEARCHES = 20


def real_cost(trials: int, epochs: int, in_flight: int, seed: int) -> tuple[int, int]:
    """Return trials and epochs of a search with random losses."""
    random, space = Random(seed), ConfigurationSpace()
    space.add(Float("x", (0, 1)))
    search = Asha(space, trials=trials, epochs=epochs, seed=seed)
    running: list[Candidate] = []
    trained: dict[int | None, int] = {None: 0}
    total = 0
    while True:
        while len(running) < in_flight and (candidate := search.ask()) is not None:
            running.append(candidate)
        if not running:
            return len(trained) - 1, total
        done = running.pop(0)
        total += done.epochs - trained[done.continues]
        trained[done.number] = done.epochs
        search.tell(done, Outcome(random.random(), {"accuracy": 0.5, "cross_entropy": 1.0}))


@pytest.mark.parametrize("in_flight", [1, 4])
@pytest.mark.parametrize(("trials", "epochs"), [(36, 8), (24, 5), (27, 9), (120, 27)])
def test_the_counts_of_real_searches_are_around_the_simulated_median(trials: int, epochs: int, in_flight: int) -> None:
    at = levels(epochs, HalvingOptions())
    middle, greatest = asha_costs(trials, at, 3)

    real = [real_cost(trials, epochs, in_flight, seed) for seed in range(SEARCHES)]

    least = halving_cost(trials, at, 3)
    assert least.epochs <= middle.epochs <= greatest.epochs
    assert median(count for count, _ in real) == pytest.approx(middle.trials, rel=0.06)
    assert median(count for _, count in real) == pytest.approx(middle.epochs, rel=0.1)
    assert min(count for _, count in real) >= least.epochs
