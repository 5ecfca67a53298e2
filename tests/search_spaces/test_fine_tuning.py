"""The space of stage 2."""

from itertools import product

import pytest

from safs.spec.presets import PRESETS, fill
from safs.spec.training import Recipe, TrainSpec
from safs.training.learning_rate_schedules import SCHEDULES
from safs.training.optimizers import OPTIMIZERS
from search_spaces.fine_tuning import fine_tuning_space, recipe_from

PAPER_RECIPES = [
    TrainSpec(**fill({"model": {"architecture": architecture}}, preset)["train"])
    for preset, architecture in product(PRESETS, ["lenet5", "vgg16", "resnet18", "efficientnet_b0", "mlp"])
]
SEARCHED = set(SCHEDULES) - {"multistep", "warm_up"}
OUTSIDE = TrainSpec(optimizer="sgd", learning_rate=3.0, weight_decay=0.5, momentum=0.0, schedule="halving")


def recipe_of(train: TrainSpec) -> Recipe:
    return Recipe(**train.model_dump(exclude={"epochs"}))


def test_500_draws_keep_the_conditions_and_give_valid_recipes() -> None:
    train = TrainSpec(momentum=0.8)
    space = fine_tuning_space(train, seed=0)
    seen: set[tuple[str, str]] = set()
    for point in space.sample_configuration(500):
        config = dict(point)
        optimizer, schedule = str(config["optimizer"]), str(config["schedule"])
        expected = {"optimizer", "schedule", "weight_decay", f"learning_rate_{optimizer}"}
        assert set(config) == expected | ({"momentum"} if optimizer == "sgd" else set())

        recipe = recipe_from(config, train)

        assert (recipe.optimizer, recipe.schedule, recipe.weight_decay) == (optimizer, schedule, config["weight_decay"])
        assert recipe.learning_rate == config[f"learning_rate_{optimizer}"]
        assert recipe.momentum == (config["momentum"] if optimizer == "sgd" else 0.8)
        assert 1e-4 <= recipe.learning_rate <= 1e-1
        assert 1e-6 <= recipe.weight_decay <= 1e-1
        seen.add((optimizer, schedule))
    assert seen == set(product(OPTIMIZERS, SEARCHED))


@pytest.mark.parametrize("train", [TrainSpec(), OUTSIDE, *PAPER_RECIPES])
def test_the_default_is_the_default_protocols_recipe(train: TrainSpec) -> None:
    default = fine_tuning_space(train, seed=0).get_default_configuration()
    assert recipe_from(dict(default), train) == recipe_of(train)


def test_multistep_and_nesterov_are_the_trains_own_and_not_searched() -> None:
    published = TrainSpec(optimizer="sgd", learning_rate=0.1, nesterov=True, schedule="multistep")
    space = fine_tuning_space(TrainSpec(), seed=0)

    assert "multistep" not in space["schedule"].choices
    assert "nesterov" not in space
    assert not any(recipe_from(dict(point), TrainSpec()).nesterov for point in space.sample_configuration(20))
    assert "multistep" in fine_tuning_space(published, seed=0)["schedule"].choices
    default = fine_tuning_space(published, seed=0).get_default_configuration()
    assert recipe_from(dict(default), published) == recipe_of(published)


def test_weight_decay_is_drawn_by_orders_of_magnitude() -> None:
    space = fine_tuning_space(TrainSpec(), seed=0)
    small = [point["weight_decay"] < 1e-3 for point in space.sample_configuration(500)]
    # Three of the five decades; the standard deviation of the share is sqrt(0.24 / 500) = 0.022. Linear: 0.01.
    assert sum(small) / 500 == pytest.approx(0.6, abs=4 * 0.022)


def test_every_schedule_but_two_published_ones_is_searched_in_trials_of_any_length() -> None:
    assert set(fine_tuning_space(TrainSpec(), seed=0)["schedule"].choices) == SEARCHED
