"""Trainings: masks, seeds, the best epoch, and what goes wrong."""

import pickle

import pytest
import torch
from torch import nn

from safs.data import TensorSplit
from safs.metrics.sparsity import measure_sparsity
from safs.pruning.masks import Masks, prunable_parameters
from safs.pruning.protocol import Hooks
from safs.spec.training import Recipe
from safs.training.evaluate import evaluate
from safs.training.learning_rate_schedules import SCHEDULES
from safs.training.optimizers import OPTIMIZERS
from safs.training.session import Diverged, TrainingSession, steps_per_epoch
from safs.training.settings import TrainingData, TrainingSettings
from tests.pruning.magnitude import magnitude_masks

CPU = torch.device("cpu")


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2), nn.Linear(288, 32), nn.ReLU(),
        nn.BatchNorm1d(32), nn.Linear(32, 10),
    )  # fmt: skip


def session(model, digits, **settings) -> TrainingSession:
    chosen = {"recipe": Recipe(learning_rate=3e-3), "epochs": 3, "batch_size": 64, "seed": 0} | settings
    data = TrainingData(digits.train, digits.validation, chosen.pop("batch_size"))
    training = TrainingSettings(**{name: chosen.pop(name) for name in ("recipe", "epochs", "seed")})
    return TrainingSession(model, data, training, **chosen)


def run(training: TrainingSession) -> list[tuple[float, float, float, float]]:
    curve = []
    while not training.finished:
        metrics = training.step()
        curve.append((metrics.train_loss, metrics.validation_loss, metrics.validation_accuracy, metrics.learning_rate))
    return curve


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("distribution", ["global", "uniform"])
def test_masks_hold_through_every_step_of_every_optimizer(optimizer, distribution, digits):
    model = network()
    masks = magnitude_masks(model, 0.9, distribution)
    recipe = Recipe(optimizer=optimizer, learning_rate=0.01, weight_decay=1e-3)
    training = session(model, digits, recipe=recipe, epochs=2, masks=masks)
    weights = prunable_parameters(model)
    seen = []
    model.register_forward_hook(lambda *_: seen.append(all(not weights[k][~mask].any() for k, mask in masks.items())))

    run(training)

    assert len(seen) > 40
    assert all(seen)
    report = measure_sparsity(training.best.state, {name: mask.numel() for name, mask in masks.items()})
    assert report.weights - report.live == round(0.9 * report.weights)


def test_the_best_state_is_exact_even_where_a_kept_weight_is_zero(digits):
    model = network()
    masks = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in prunable_parameters(model).items()}
    masks["8.weight"][0] = False
    with torch.no_grad():
        model[5].weight[:, :3] = 0.0
    training = session(model, digits, recipe=Recipe(learning_rate=1e-30), epochs=1, masks=masks)

    training.step()

    report = measure_sparsity(training.best.state, {name: mask.numel() for name, mask in masks.items()})
    assert report.weights - report.live == 32
    assert not torch.signbit(training.best.state["8.weight"][0]).any()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(optimizer, digits):
    recipe = Recipe(optimizer=optimizer, learning_rate=3e-3)

    first, again, other = (run(session(network(), digits, recipe=recipe, seed=seed)) for seed in (1, 1, 2))

    assert first == again != other


def test_sessions_taken_in_turns_give_the_numbers_they_give_alone(digits):
    alone = run(session(network(0), digits, seed=1))
    one, two = session(network(0), digits, seed=1), session(network(1), digits, seed=2)
    before = torch.get_rng_state()

    curve = []
    while not one.finished:
        metrics = one.step()
        two.step()
        curve.append(metrics.validation_loss)

    assert curve == [point[1] for point in alone]
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("epochs", [1, 2])
def test_every_schedule_trains(schedule, epochs, digits):
    training = session(network(), digits, recipe=Recipe(schedule=schedule), epochs=epochs, batch_size=256)

    curve = run(training)

    assert len(curve) == epochs
    assert all(rate > 0 for *_, rate in curve)


def test_it_learns_the_digits(digits):
    training = session(network(), digits, recipe=Recipe(learning_rate=1e-2, schedule="one_cycle"), epochs=6)

    run(training)

    assert training.best.metrics.validation_accuracy > 0.95


def test_the_best_epoch_is_a_copy_with_the_models_own_names_that_scores_what_it_says(digits):
    model = network()
    training = session(model, digits, recipe=Recipe(learning_rate=0.05), epochs=5)
    history = []
    while not training.finished:
        history.append(training.step())

    best = training.best
    wanted = min(history, key=lambda epoch: (-epoch.validation_accuracy, epoch.validation_loss))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    restored = network(3)
    restored.load_state_dict(best.state)
    scored = evaluate(restored, digits.validation, batch_size=64, device=CPU)

    assert best.metrics == wanted
    assert scored.accuracy == wanted.validation_accuracy
    assert scored.cross_entropy == pytest.approx(wanted.validation_loss)


@pytest.mark.parametrize(("samples", "batch_size"), [(65, 64), (3, 2), (1, 64), (5, 1)])
def test_a_last_batch_of_one_sample_does_not_crash_batch_norm(samples, batch_size, digits):
    train = digits.train
    few = TensorSplit(
        train.images[:samples], train.labels[:samples], train.mean, train.std, train.classes, 1, train.image_size
    )
    # Only spatial batch norm: torch cannot train batch norm on a single value per channel.
    normalised = nn.BatchNorm1d(288) if samples > 1 and batch_size > 1 else nn.Identity()
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Flatten(), normalised, nn.Linear(288, 10))
    settings = TrainingSettings(Recipe(schedule="one_cycle"), epochs=3, seed=0)

    training = TrainingSession(model, TrainingData(few, digits.validation, batch_size), settings)

    assert len(run(training)) == 3


def test_a_training_that_diverges_says_in_which_epoch_and_travels_between_processes(digits):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    training = session(model, digits, recipe=Recipe(optimizer="sgd", learning_rate=100, momentum=0.999), epochs=50)
    with torch.no_grad():
        model[1].weight[0, 0] = torch.inf

    with pytest.raises(Diverged, match="epoch 1") as caught:
        run(training)

    received = pickle.loads(pickle.dumps(caught.value))  # noqa: S301  # our own bytes
    assert (received.epoch, received.code) == (1, "diverged")
    assert training.best is None


def test_a_network_that_is_finite_in_training_and_not_in_validation_diverges(digits):
    class Fragile(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(64, 10)

        def forward(self, images):
            return self.head(images.flatten(1)) * (1.0 if self.training else torch.nan)

    with pytest.raises(Diverged):
        session(Fragile(), digits).step()


def test_exempt_parameters_are_not_decayed(digits):
    def final_norm(exempt: bool) -> float:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        recipe = Recipe(optimizer="adamw", weight_decay=1.0, learning_rate=0.05)
        run(session(model, digits, recipe=recipe, exempt=list(model.parameters()) if exempt else []))
        return model[1].weight.norm().item()

    assert final_norm(exempt=True) > 2 * final_norm(exempt=False)


def test_hooks_see_every_step_with_gradients_of_pruned_weights_too(digits):
    model, seen = network(), []
    masks = magnitude_masks(model, 0.9)

    def look(step: int) -> None:
        gradient = model[0].weight.grad
        seen.append((step, bool((gradient[~masks["0.weight"]] != 0).any())))

    run(session(model, digits, masks=masks, hooks=Hooks(after_backward=look), epochs=2))

    steps = 2 * steps_per_epoch(len(digits.train), 64)
    assert seen == [(step, True) for step in range(steps)]


def test_a_hook_can_change_a_gradient_before_the_step(digits):
    model = network()
    before = model[5].weight.detach().clone()

    def freeze(step: int) -> None:
        model[5].weight.grad.zero_()

    run(session(model, digits, recipe=Recipe(optimizer="sgd"), hooks=Hooks(after_backward=freeze), epochs=1))

    assert torch.equal(model[5].weight, before)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_masks_that_a_hook_returns_hold_from_then_on_and_weights_come_back_at_zero_without_momentum(optimizer, digits):
    model, seen = network(), {}
    left = torch.zeros(32, 288, dtype=torch.bool)
    left[:, :144] = True

    def look(step: int) -> None:
        if step == 6:
            seen["gradient"] = model[5].weight.grad[~left].clone()

    def swap(step: int) -> Masks | None:
        if step == 6:
            seen["first move"] = model[5].weight.detach()[~left].clone()
        return {"5.weight": ~left} if step == 5 else None

    training = session(
        model,
        digits,
        recipe=Recipe(optimizer=optimizer, learning_rate=1e-3, momentum=0.9),
        masks={"5.weight": left},
        hooks=Hooks(after_backward=look, after_step=swap),
    )
    run(training)

    state = training.best.state["5.weight"]
    assert not state[left].any()
    assert state[~left].all()
    # The momentum of earlier steps would move some of the 4,608 weights against their gradient.
    assert bool((seen["first move"] * seen["gradient"] <= 0).all())
    assert bool(seen["first move"].any())
    if optimizer == "sgd":
        assert torch.allclose(seen["first move"], -1e-3 * seen["gradient"])
