"""Pruning composed of the four axes: live weights over time, regrowth, and the use of epochs."""

from itertools import pairwise
from math import cos, exp, pi

import pytest
import torch
from torch import Tensor

from safs.errors import SparsityError, SpecError, UnknownNameError
from safs.pruning.axes.schedules import PRUNING_SCHEDULES
from safs.pruning.axes.scores import SCORES, ScoreInput
from safs.pruning.masks import Masks
from safs.pruning.methods.composed import with_regrowth
from safs.pruning.protocol import Pruned
from safs.pruning.pruners import PRUNERS
from safs.spec.pruning import PruneSpec
from tests.pruning.trainers import RecordingTrainer, copied, count, drain, perceptron, task_for, trainer_for

LAYERS = ("1.weight", "3.weight", "5.weight")
WEIGHTS = 64 * 32 + 32 * 16 + 16 * 10


def live(sparsity: float) -> int:
    return WEIGHTS - round(sparsity * WEIGHTS)


def spec(schedule: str = "one_shot", *, epochs: int | None = None, **changes) -> PruneSpec:
    if epochs is None:
        epochs = 6 if PRUNING_SCHEDULES[schedule].trains else 0
    return PruneSpec(schedule=schedule, epochs=epochs, **changes)


def run(trainer: RecordingTrainer, sparsity: float, chosen: PruneSpec) -> Pruned:
    return drain(PRUNERS[chosen.method].prune(trainer, sparsity, chosen))[1]


def came_back(before: Masks, after: Masks) -> dict[str, int]:
    return {name: int((after[name] & ~before[name]).sum()) for name in after}


@pytest.mark.parametrize("schedule", PRUNING_SCHEDULES)
@pytest.mark.parametrize(
    ("score", "distribution", "granularity"),
    [
        ("magnitude", "global", "weight"),
        ("gradient", "uniform", "row"),
        ("synflow", "erk", "column"),
        ("lookahead", "lamp", "input_channel"),
        ("random", "lamp", "weight"),
    ],
)
def test_every_schedule_ends_at_the_sparsity_to_the_single_weight_and_uses_its_epochs(
    schedule, score, distribution, granularity
):
    chosen = spec(schedule, score=score, distribution=distribution, granularity=granularity)
    PRUNERS["magnitude"].check(task_for(perceptron(), 0.87, chosen))
    trainer = trainer_for(perceptron(), epochs=chosen.epochs)

    epochs, pruned = drain(PRUNERS["magnitude"].prune(trainer, 0.87, chosen))

    assert [epoch.epoch for epoch in epochs] == list(range(1, chosen.epochs + 1))
    assert sum(training.epochs for training in trainer.trainings) == chosen.epochs
    assert trainer.steps == chosen.epochs * trainer.steps_per_epoch
    assert pruned.masks.keys() == set(LAYERS)
    assert count(pruned.masks) == live(0.87)
    assert all(torch.equal(pruned.model.state_dict()[name] != 0, mask) for name, mask in pruned.masks.items())
    assert all(bool(mask.any()) for mask in pruned.masks.values())


@pytest.mark.parametrize("schedule", PRUNING_SCHEDULES)
def test_the_same_seed_gives_the_same_network(schedule):
    states = [
        run(trainer_for(perceptron(), epochs=6, seed=seed), 0.8, spec(schedule)).model.state_dict() for seed in (3, 3)
    ]

    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_one_shot_does_not_train_and_changes_only_pruned_weights():
    model = perceptron()
    before = copied(model)

    pruned = run(trainer_for(model, epochs=0), 0.9, spec())

    flat = torch.cat([before[name].flatten().abs() for name in LAYERS])
    threshold = flat.sort(descending=True).values[live(0.9) - 1]
    for name, value in pruned.model.state_dict().items():
        mask = before[name].abs() >= threshold if name in LAYERS else torch.ones_like(value)
        assert torch.equal(value, before[name] * mask)


def test_one_shot_in_rounds_computes_new_scores_in_each():
    model = perceptron()
    once = run(trainer_for(perceptron(), epochs=0), 0.9375, spec(score="gradient")).masks

    masks = run(trainer_for(model, epochs=0), 0.9375, spec(score="gradient", options={"rounds": 2})).masks

    expected: Masks | None = None
    for sparsity in (0.75, 0.9375):  # each round keeps a quarter of the live weights
        given = ScoreInput(perceptron(), expected, trainer_for(model, epochs=0).batches, seed=0)
        scores = SCORES["gradient"].compute(given)
        largest = torch.cat([score.flatten() for score in scores.values()]).argsort(descending=True)[: live(sparsity)]
        kept = torch.zeros(WEIGHTS, dtype=torch.bool)
        kept[largest] = True
        parts = kept.split([score.numel() for score in scores.values()])
        expected = {name: part.view_as(scores[name]) for name, part in zip(LAYERS, parts, strict=True)}
    assert all(torch.equal(mask, expected[name]) for name, mask in masks.items())
    assert sum(came_back(once, masks).values()) > 10


@pytest.mark.parametrize(("score", "rounds"), [("synflow", 100), ("gradient", 1)])
def test_synflow_prunes_in_a_hundred_rounds_and_others_at_once_unless_rounds_are_given(score, rounds):
    by_itself, told = trainer_for(perceptron(), epochs=0), trainer_for(perceptron(), epochs=0)

    run(by_itself, 0.9, spec(score=score))
    run(told, 0.9, spec(score=score, options={"rounds": 7}))

    assert (by_itself.scorings, told.scorings) == (rounds, 7)


@pytest.mark.parametrize("rewind", [True, False])
def test_iterative_removes_the_same_share_in_each_round_then_trains_with_or_without_rewinding(rewind):
    model = perceptron()
    start, trainer = copied(model), trainer_for(model, epochs=8)

    pruned = run(trainer, 0.784, spec("iterative", epochs=8, options={"rounds": 3, "rewind": rewind}))

    assert [training.epochs for training in trainer.trainings] == [2, 3, 3]
    assert [count(training.masks) for training in trainer.trainings] == [live(0.4), live(0.64), live(0.784)]
    begins = [start] * 3 if rewind else [start, *(training.after for training in trainer.trainings)]
    for began, expected in zip(trainer.trainings, begins, strict=False):
        assert all(torch.equal(value, expected[name]) for name, value in began.before.items())
    for before, after in pairwise(trainer.trainings):
        assert not any(came_back(before.masks, after.masks).values())
        scores = torch.cat([before.after[name].abs().flatten() for name in LAYERS])
        kept = torch.cat([after.masks[name].flatten() for name in LAYERS])
        assert scores[kept].min() >= scores[~kept].max()  # the trained weights decide
    assert torch.equal(pruned.masks["1.weight"], trainer.trainings[-1].masks["1.weight"])
    assert torch.equal(pruned.model.state_dict()["3.weight"], trainer.trainings[-1].after["3.weight"])


def cubic(t: float) -> float:
    return 0.8 * (1 - (1 - t) ** 3)


def one_cycle(t: float) -> float:
    return 0.8 * (1 + exp(-8)) / (1 + exp(-14 * t + 6))


@pytest.mark.parametrize(("schedule", "sparsity_at"), [("cubic", cubic), ("one_cycle", one_cycle)])
@pytest.mark.parametrize("distribution", ["global", "lamp"])
def test_a_gradual_schedule_follows_its_curve_without_regrowth_and_then_trains_on(schedule, sparsity_at, distribution):
    trainer = trainer_for(perceptron(), epochs=4)
    assert trainer.steps_per_epoch == 6

    pruned = run(trainer, 0.8, spec(schedule, epochs=4, distribution=distribution))

    assert count(trainer.trainings[0].masks) == live(sparsity_at(0.0))  # a little above 0 for one_cycle
    assert [update.step for update in trainer.updates] == list(range(18))  # three quarters of 24 steps
    for update in trainer.updates[:-1]:
        assert count(update.masks) == live(sparsity_at((update.step + 1) / 24 / 0.75))
    masks = [update.masks for update in trainer.updates]
    assert count(masks[-1]) == live(0.8)
    for before, after in pairwise(masks):
        assert not any(came_back(before, after).values())
    assert all(torch.equal(mask, masks[-1][name]) for name, mask in pruned.masks.items())


@pytest.mark.parametrize("distribution", ["global", "uniform"])
def test_a_network_that_is_pruned_already_goes_on_from_its_sparsity(distribution):
    first = run(trainer_for(perceptron(), epochs=1), 0.5, spec("cubic", epochs=1, distribution=distribution))
    trainer = trainer_for(first.model, epochs=2)
    trainer.masks = first.masks

    pruned = run(trainer, 0.8, spec("cubic", epochs=2, distribution=distribution))

    assert count(trainer.trainings[0].masks) == live(0.5)
    for update in trainer.updates[:-1]:  # Zhu and Gupta (2017), equation 1
        assert count(update.masks) == live(0.8 + (0.5 - 0.8) * (1 - (update.step + 1) / 12 / 0.75) ** 3)
    assert count(pruned.masks) == live(0.8)
    assert max(came_back(first.masks, pruned.masks).values()) == 0


@pytest.mark.parametrize("distribution", ["uniform", "erk"])
def test_rounded_counts_of_layers_bring_back_one_weight_at_most(distribution):
    trainer = trainer_for(perceptron(), epochs=6)

    run(trainer, 0.8, spec("one_cycle", distribution=distribution))

    for before, after in pairwise(update.masks for update in trainer.updates):
        assert max(came_back(before, after).values()) <= 1


def test_each_step_prunes_the_weights_nearest_to_zero_at_that_time():
    trainer = trainer_for(perceptron(), epochs=2)

    run(trainer, 0.8, spec("cubic", epochs=2))

    for update in trainer.updates:
        weights = torch.cat([update.state[name].abs().flatten() for name in LAYERS])
        kept = torch.cat([update.masks[name].flatten() for name in LAYERS])
        assert weights[kept].min() >= weights[~kept].max()


@pytest.mark.parametrize("score", ["magnitude", "synflow"])
def test_cyclic_begins_and_ends_sparse_and_grows_where_the_gradient_is_largest(score):
    trainer = trainer_for(perceptron(), epochs=4)

    pruned = run(trainer, 0.95, spec("cyclic", epochs=4, score=score, options={"cycles": 1, "peak": 3, "end": 0.5}))

    assert count(trainer.trainings[0].masks) == live(0.95)
    assert [update.step for update in trainer.updates] == list(range(12))  # half of 24 steps
    for update in trainer.updates[:-1]:
        t = (update.step + 1) / 12
        assert count(update.masks) == live(1 - 0.05 * (1 + 2 * (1 - cos(2 * pi * t)) / 2))
    assert max(count(update.masks) for update in trainer.updates) == live(0.85)
    assert count(pruned.masks) == live(0.95)

    held = [trainer.trainings[0].masks, *(update.masks for update in trainer.updates)]
    for before, update in zip(held, trainer.updates, strict=False):
        rises = count(update.masks) > count(before)
        assert rises == (update.step < 6)
        assert any(came_back(before, update.masks).values()) == rises
        if rises:
            assert not any(came_back(update.masks, before).values())
            gone, now = (torch.cat([masks[name].flatten() for name in LAYERS]) for masks in (before, update.masks))
            sizes = torch.cat([update.gradients[name].abs().flatten() for name in LAYERS])
            assert sizes[now & ~gone].min() >= sizes[~now & ~gone].max()


def test_pruned_weights_rank_by_gradient_below_live_ones_of_any_score():
    masks = {"a": torch.tensor([True, True, False, False]), "b": torch.tensor([True, False])}
    gradients: dict[str, Tensor | None] = {"a": torch.tensor([9.0, 9.0, 1e-6, -3e-6]), "b": torch.tensor([0.0, 2e-6])}

    for dtype in (torch.float32, torch.float64):
        smallest = torch.finfo(dtype).tiny
        scores = {
            "a": torch.tensor([5.0, smallest, 0.0, 0.0], dtype=dtype),
            "b": torch.tensor([2.0, 0.0], dtype=dtype),
        }
        ranked = with_regrowth(scores, masks, gradients)
        order = torch.cat([ranked["a"], ranked["b"]]).argsort(descending=True)
        assert order.tolist() == [0, 4, 1, 3, 5, 2]
        assert torch.cat([ranked["a"], ranked["b"]]).unique().numel() == 6

    without = with_regrowth(scores, masks, {"a": None, "b": None})
    assert torch.equal(without["a"], scores["a"])


def test_a_long_training_prunes_about_a_hundred_times():
    trainer = trainer_for(perceptron(), epochs=3, batch_size=16)
    assert trainer.steps_per_epoch == 81

    pruned = run(trainer, 0.9, spec("cyclic", epochs=3, options={"end": 1.0, "cycles": 40}))

    assert [update.step for update in trainer.updates] == list(range(1, 243, 2))
    assert count(trainer.updates[-1].masks) > live(0.86)  # 243 is odd, so the last update is a step before the end
    assert count(pruned.masks) == live(0.9)


@pytest.mark.parametrize(
    ("changes", "error", "field", "words"),
    [
        ({"schedule": "cubicc"}, UnknownNameError, "prune.schedule", "cubic"),
        ({"schedule": "growing", "epochs": 3}, UnknownNameError, "prune.schedule", "one_cycle"),
        ({"score": "fisher"}, UnknownNameError, "prune.score", "magnitude"),
        ({"distribution": "local"}, UnknownNameError, None, "global"),
        ({"granularity": "block"}, UnknownNameError, "prune.granularity", "weight"),
        ({"epochs": 3}, SpecError, "prune.epochs", "trains nothing"),
        ({"schedule": "cubic", "epochs": 0}, SpecError, "prune.epochs", "at least 1"),
        ({"schedule": "iterative", "epochs": 4}, SpecError, "prune.epochs", "at least 5"),
        ({"options": {"end": 0.5}}, SpecError, "prune.options.end", "'end'"),
        ({"options": {"rounds": 0}}, SpecError, "prune.options.rounds", "0"),
        ({"schedule": "cubic", "options": {"rounds": 5}}, SpecError, "prune.options.rounds", "begin"),
        ({"schedule": "cubic", "options": {"begin": 0.8}}, SpecError, None, "below"),
        ({"schedule": "cyclic", "options": {"peak": 0.5}}, SpecError, "prune.options.peak", "0.5"),
        ({"schedule": "cubic", "granularity": "2:4"}, SpecError, "prune.schedule", "in steps"),
        ({"schedule": "iterative", "granularity": "2:4"}, SpecError, "prune.schedule", "in steps"),
        ({"granularity": "2:4", "options": {"rounds": 2}}, SpecError, "prune.schedule", "in steps"),
    ],
)
def test_unsuitable_axes_are_refused_by_the_check(changes, error, field, words):
    with pytest.raises(error, match=words) as caught:
        PRUNERS["magnitude"].check(task_for(perceptron(), 0.5, PruneSpec.model_validate(changes)))

    assert field is None or caught.value.field == field


@pytest.mark.parametrize("schedule", PRUNING_SCHEDULES)
def test_a_sparsity_that_is_too_high_is_refused_by_the_check(schedule):
    with pytest.raises(SparsityError):
        PRUNERS["magnitude"].check(task_for(perceptron(), 1 - 2 / WEIGHTS, spec(schedule)))


@pytest.mark.parametrize("score", ["magnitude", "synflow"])
@pytest.mark.parametrize(("schedule", "options"), [("one_shot", {}), ("iterative", {"rounds": 1})])
def test_a_pattern_is_reached_at_once(schedule, options, score):
    chosen = spec(schedule, granularity="2:4", score=score, options=options)
    PRUNERS["magnitude"].check(task_for(perceptron(), 0.5, chosen))

    pruned = run(trainer_for(perceptron(), epochs=chosen.epochs), 0.5, chosen)

    assert all(bool((pruned.masks[name].view(-1, 4).sum(1) == 2).all()) for name in LAYERS)
