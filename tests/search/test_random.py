"""Random search draws from the whole space."""

from collections import Counter

from safs.search.random import RandomSearch
from safs.spec.training import TrainSpec
from search_spaces.activations import activation_space
from search_spaces.fine_tuning import fine_tuning_space


def test_every_choice_of_every_site_is_equally_likely() -> None:
    space = activation_space(["a", "b", "c", "d", "e", "f"], ["relu", "elu", "tanh"], seed=0)
    strategy = RandomSearch(space, trials=300, epochs=1, seed=0)
    drawn = Counter[tuple[str, str | int | float]]()
    while (candidate := strategy.ask()) is not None:
        drawn.update(candidate.config.items())
    assert len(drawn) == 18
    # 300 of 729 points: 100 expected each, with a standard deviation below sqrt(300 * 1/3 * 2/3) = 8.2.
    assert all(100 - 4 * 8.2 < count < 100 + 4 * 8.2 for count in drawn.values())


def test_learning_rates_are_drawn_on_a_log_scale() -> None:
    strategy = RandomSearch(fine_tuning_space(TrainSpec(), seed=0), trials=300, epochs=1, seed=0)
    below = total = 0
    while (candidate := strategy.ask()) is not None:
        rate = next(float(value) for name, value in candidate.config.items() if name.startswith("learning_rate"))
        below += rate < 1e-2
        total += 1
    # Two of the three decades; the standard deviation of the share is sqrt(2/9 / 300) = 0.027.
    assert abs(below / total - 2 / 3) < 4 * 0.027
