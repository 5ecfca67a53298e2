"""The space of both stages at once."""

from safs.spec.training import TrainSpec
from search_spaces.activations import activation_space, operators_from
from search_spaces.fine_tuning import fine_tuning_space, recipe_from
from search_spaces.joint import joint_space

TRAIN = TrainSpec(optimizer="sgd", learning_rate=0.05, momentum=0.8)
OPERATORS = ["silu", "sigmoid", "identity"]
OWN = {"optimizer": "silu", "layer1.0.act#2": "silu", "gate": "sigmoid"}
"""A module can have the name of a hyperparameter."""


def test_it_holds_both_spaces_and_groups_cannot_have_a_hyperparameters_name() -> None:
    space = joint_space(OWN, OPERATORS, TRAIN, seed=0)
    tuning = fine_tuning_space(TRAIN, seed=0)

    assert set(space) == {*tuning, *(f"operator:{group}" for group in OWN)}
    assert all(space[name] == tuning[name] for name in tuning)
    assert sorted(map(repr, space.conditions)) == sorted(map(repr, tuning.conditions))


def test_its_default_is_the_network_itself_under_the_default_protocol() -> None:
    default = dict(joint_space(OWN, OPERATORS, TRAIN, seed=0).get_default_configuration())

    assert operators_from(default) == OWN
    assert recipe_from(default, TRAIN).model_dump() == TRAIN.model_dump(exclude={"epochs"})


def test_300_draws_are_read_as_operators_and_recipes() -> None:
    seen = set()
    for point in joint_space(OWN, OPERATORS, TRAIN, seed=0).sample_configuration(300):
        operators, recipe = operators_from(dict(point)), recipe_from(dict(point), TRAIN)
        assert operators == {group: point[f"operator:{group}"] for group in OWN}
        assert recipe.learning_rate == point[f"learning_rate_{recipe.optimizer}"]
        seen.add(tuple(operators[group] for group in OWN))
    assert len(seen) == len(OPERATORS) ** len(OWN)


def test_operators_of_stage_1_are_its_config() -> None:
    space = activation_space(OWN, OPERATORS, seed=0)

    assert operators_from(dict(space.get_default_configuration())) == OWN
