"""The space of stage 1."""

from search_spaces.activations import activation_space


def test_one_categorical_a_site_with_the_same_operators() -> None:
    space = activation_space(["layer1.0.relu", "layer1.0.relu#2", "fc"], ["silu", "relu", "tanh"], seed=0)
    assert set(space) == {"layer1.0.relu", "layer1.0.relu#2", "fc"}
    assert all(tuple(parameter.choices) == ("silu", "relu", "tanh") for parameter in space.values())


def test_the_default_is_the_first_operator_everywhere() -> None:
    space = activation_space(["b.0", "a.1"], ["silu", "relu"], seed=0)
    assert dict(space.get_default_configuration()) == {"a.1": "silu", "b.0": "silu"}


def test_draws_follow_the_seed() -> None:
    def draws(seed: int) -> list[dict[str, object]]:
        space = activation_space([f"layers.{site}" for site in range(9)], ["relu", "elu", "tanh"], seed=seed)
        return [dict(point) for point in space.sample_configuration(5)]

    assert draws(1) == draws(1)
    assert draws(1) != draws(2)
