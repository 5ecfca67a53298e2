"""Importances of hyperparameters and sites."""

import random

from search_spaces.importance import FEWEST, ScoredTrial, importances


def trials(count: int = 200) -> list[ScoredTrial]:
    """Trials whose accuracy depends on one operator, and otherwise on their epochs."""
    draw = random.Random(0)
    found = []
    for _ in range(count):
        config = {
            "operator:act1": draw.choice(("relu", "swish", "tanh")),
            "operator:act2": draw.choice(("relu", "swish", "tanh")),
            "weight_decay": 10 ** draw.uniform(-6, -2),
            "optimizer": "adam",
        }
        epochs = draw.choice((1, 3, 9))
        accuracy = 0.1 * epochs**0.5 + 0.2 * (config["operator:act1"] == "swish") + 0.001 * draw.random()
        found.append(ScoredTrial(config, epochs, accuracy))
    return found


def test_what_decides_the_accuracy_comes_first() -> None:
    found = importances(trials())

    assert next(iter(found)) == "operator:act1"
    assert found["operator:act1"] > 0.5
    assert abs(sum(found.values()) - 1) < 1e-9
    assert "optimizer" not in found  # it never varied


def test_names_that_some_trials_lack_are_left_out() -> None:
    some = trials()
    some[0] = ScoredTrial({**some[0].config, "momentum": 0.9}, 1, 0.5)

    assert "momentum" not in importances(some)


def test_too_few_trials_say_nothing() -> None:
    assert importances(trials(FEWEST - 1)) == {}
    assert importances([]) == {}
