"""Points that are constructed instead of drawn."""

import pytest
from ConfigSpace import Configuration, ConfigurationSpace

from safs.activations.operators import OPERATORS
from safs.spec.training import Recipe, TrainSpec
from search_spaces import SPACES

OWN = {"stem": "silu", "layer1:silu": "silu", "layer1:sigmoid": "sigmoid"}
NAMES = ["silu", "sigmoid", *OPERATORS]
TRAIN = TrainSpec(optimizer="sgd", learning_rate=0.05, momentum=0.8, weight_decay=5e-4, schedule="plateau")
FAST = {"optimizer": "adam", "learning_rate": 3e-2, "schedule": "one_cycle"}


def spaces_of(operators: list[str], train: TrainSpec = TRAIN) -> dict[str, ConfigurationSpace]:
    return {
        "activations": SPACES.activations(OWN, operators, 0),
        "tune": SPACES.fine_tuning(train, 0),
        "joint": SPACES.joint(OWN, operators, train, 0),
    }


@pytest.mark.parametrize("stage", ["activations", "tune", "joint"])
def test_every_draw_is_made_again_from_what_it_stands_for(stage: str) -> None:
    space = spaces_of(NAMES)[stage]

    for point in space.sample_configuration(200):
        config = {name: value.item() if hasattr(value, "item") else value for name, value in dict(point).items()}
        operators = None if stage == "tune" else SPACES.operators_from(config)
        recipe = None if stage == "activations" else SPACES.recipe_from(config, TRAIN)
        assert SPACES.config_from(space, TRAIN, operators, recipe) == config


def test_what_is_not_given_is_the_networks_own_and_the_default_protocols() -> None:
    space = spaces_of(NAMES)["joint"]

    config = SPACES.config_from(space, TRAIN, {"stem": "elu"}, None)

    assert config is not None
    assert SPACES.operators_from(config) == OWN | {"stem": "elu"}
    assert SPACES.recipe_from(config, TRAIN) == Recipe(**TRAIN.model_dump(exclude={"epochs"}))


def test_numbers_outside_their_range_become_its_nearest_end() -> None:
    recipe = Recipe(optimizer="sgd", learning_rate=3.0, weight_decay=0.5, momentum=0.0)

    config = SPACES.config_from(spaces_of(NAMES)["tune"], TRAIN, None, recipe)

    assert config == {
        "optimizer": "sgd",
        "schedule": "constant",
        "learning_rate_sgd": 0.1,
        "weight_decay": 0.1,
        "momentum": 0.1,
    }


@pytest.mark.parametrize(
    ("operators", "recipe"),
    [
        ({"stem": "relu"}, None),
        (None, Recipe(optimizer="fromage")),
        (None, Recipe(schedule="multistep")),  # Not searched.
    ],
)
def test_what_the_space_does_not_have_has_no_point(operators: dict[str, str] | None, recipe: Recipe | None) -> None:
    space = spaces_of(["silu", "sigmoid", "elu"])["joint"]

    assert SPACES.config_from(space, TRAIN, operators, recipe) is None


@pytest.mark.parametrize("operators", [NAMES, ["silu", "sigmoid", "tanh"]])
@pytest.mark.parametrize("stage", ["activations", "tune", "joint"])
def test_first_candidates_are_points_of_their_space_with_the_default_before_all(
    stage: str, operators: list[str]
) -> None:
    space = spaces_of(operators)[stage]

    firsts = SPACES.firsts(space, TRAIN)

    assert firsts[0] == dict(space.get_default_configuration())
    assert all(dict(Configuration(space, values=config)) == config for config in firsts)
    assert len(firsts) <= 4
    assert not any(config in firsts[:position] for position, config in enumerate(firsts))


def test_the_portfolio_has_what_does_well_in_very_sparse_networks() -> None:
    firsts = SPACES.firsts(spaces_of(NAMES)["joint"], TRAIN)

    # A gate keeps its own activation.
    assert [set(SPACES.operators_from(config).items()) - {("layer1:sigmoid", "sigmoid")} for config in firsts] == [
        {("stem", name), ("layer1:silu", name)} for name in ("silu", "identity", "silu", "swish")
    ]
    recipes = [SPACES.recipe_from(config, TRAIN) for config in firsts]
    assert recipes[0].optimizer == "sgd"
    assert recipes[1:] == [Recipe(**FAST, weight_decay=5e-4, momentum=0.8)] * 3


def test_the_first_of_stage_1_are_one_operator_everywhere_under_the_default_protocol() -> None:
    firsts = SPACES.firsts(SPACES.activations({"a": "relu", "b": "relu"}, list(OPERATORS), 0), TRAIN)

    assert firsts == [{"a": name, "b": name} for name in ("relu", "identity", "elu", "swish")]


def test_a_default_that_is_known_already_is_tried_once() -> None:
    train = TrainSpec(**FAST)

    assert len(SPACES.firsts(SPACES.fine_tuning(train, 0), train)) == 1
    assert len(SPACES.firsts(SPACES.joint({"a": "identity"}, ["identity", "swish"], train, 0), train)) == 2
