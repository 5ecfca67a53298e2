"""EAST: dynamic ReLUs that phase out, shared weights, a cyclic density."""

import copy
from itertools import pairwise
from math import cos, pi

import pytest
import torch
from torch import nn

from safs import models
from safs.activations.dyrelu import DyReLU
from safs.activations.surgery import find_sites
from safs.errors import SparsityError, SpecError
from safs.models.form import Form, apply_form
from safs.models.resnet import BasicBlock
from safs.pruning.masks import prunable_parameters
from safs.pruning.method_options import pruning_options
from safs.pruning.methods.east import EastOptions, check, cycle_steps, east
from safs.pruning.methods.weight_sharing import shareable
from safs.pruning.protocol import Hooks
from safs.spec.pruning import PruneSpec
from safs.spec.training import Recipe
from safs.training.optimizers import make_optimizer
from safs.training.settings import TrainingData, TrainingSettings
from tests.pruning.trainers import (
    CPU,
    RecordingTrainer,
    copied,
    count,
    digits,
    drain,
    perceptron,
    task_for,
    trainer_for,
)

SGD = Recipe(optimizer="sgd", learning_rate=0.1, weight_decay=1e-4)


class SmallResNet(nn.Module):
    """A stem with tanh instead of ReLU, a stage of four blocks and a classifier."""

    def __init__(self, width=8):
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.stage = nn.Sequential(*(BasicBlock(width, width, 1) for _ in range(4)))
        self.fc = nn.Linear(width, 10)

    def forward(self, images):
        x = torch.tanh(self.norm(self.stem(images)))
        return self.fc(self.stage(x).mean((2, 3)))


WEIGHTS = 9 * 8 + 8 * 9 * 64 + 80
UNIQUE = 9 * 8 + 4 * 9 * 64 + 80


class WatchingTrainer(RecordingTrainer):
    """Also records beta and the norm of the clipped gradients in each step."""

    def train(self, epochs, *, masks=None, hooks=Hooks(), through=None):  # noqa: B008  # frozen
        self.through = through
        self.betas, self.norms, self.inner = [], [], []

        def after_backward(step):
            hooks.after_backward(step)
            relus = [module for module in through.modules() if isinstance(module, DyReLU)]
            self.betas.append({relu.beta for relu in relus})
            gradients = [parameter.grad for parameter in through.parameters() if parameter.grad is not None]
            self.norms.append(torch.stack([gradient.norm() for gradient in gradients]).norm().item())
            self.inner.append([relu.fc2.weight.detach().clone() for relu in relus])

        yield from super().train(epochs, masks=masks, hooks=Hooks(after_backward, hooks.after_step), through=through)


class IdleTrainer(RecordingTrainer):
    """Does not train, so that the start of a method can be tested for networks of any size."""

    def train(self, epochs, *, masks=None, hooks=Hooks(), through=None):  # noqa: B008  # frozen
        return iter(())


def trainer_of(kind, model, epochs, seed=0):
    """Returns a trainer with 11 steps per epoch."""
    splits = digits()
    data = TrainingData(splits.train, splits.validation, 128)
    return kind(model, data, TrainingSettings(SGD, epochs, seed))


def watched(epochs=4, sparsity=0.9, seed=0, **options):
    """The trainer after a training and the pruned network."""
    torch.manual_seed(seed)
    trainer = trainer_of(WatchingTrainer, SmallResNet(), epochs, seed)
    return trainer, drain(east(trainer, sparsity, PruneSpec(method="east", epochs=epochs, options=options)))[1]


def updates(trainer):
    return [(update.step, update.masks) for update in trainer.updates]


def per_layer(masks):
    return {name: int(mask.sum()) for name, mask in masks.items()}


@pytest.fixture(scope="module")
def trained():
    return watched()


@pytest.fixture(scope="module")
def resnet34():
    return models.build("resnet34", channels=1, classes=10, image_size=8, seed=0)


def test_the_density_rises_to_three_times_and_ends_as_it_began_in_both_cycles(trained):
    trainer, pruned = trained
    live = WEIGHTS - round(0.9 * WEIGHTS)

    # 44 steps, of which the cycles take 17: two of 8 steps, each of which changes the density.
    cycle = [round(live * (2 - cos(2 * pi * step / 8))) for step in range(1, 9)]
    assert cycle[3] == 3 * live
    assert cycle[7] == live
    assert [count(masks) for step, masks in updates(trainer) if step < 16] == pytest.approx(2 * cycle, abs=1)
    at = {step: count(masks) for step, masks in updates(trainer)}
    assert (at[3], at[7], at[11], at[15]) == (3 * live, live, 3 * live, live)
    assert count(trainer.trainings[0].masks) == live
    assert all(count(masks) == live for step, masks in updates(trainer) if step >= 15)
    assert count(pruned.masks) == live


def test_every_layer_keeps_a_weight_throughout(trained):
    trainer, pruned = trained

    for masks in (trainer.trainings[0].masks, *(masks for _, masks in updates(trainer)), pruned.masks):
        assert masks.keys() == prunable_parameters(pruned.model).keys()
        assert min(per_layer(masks).values()) >= 1


def test_growing_keeps_all_live_weights_and_pruning_adds_none(trained):
    trainer, _ = trained
    swing = [trainer.trainings[0].masks, *(masks for step, masks in updates(trainer) if step < 8)]

    for number, (before, after) in enumerate(pairwise(swing)):
        for name in after:
            smaller, larger = (before, after) if number < 4 else (after, before)
            assert not bool((smaller[name] & ~larger[name]).any())


def test_after_the_cycles_connections_move_at_a_falling_rate(trained):
    trainer, _ = trained
    later = [(step, masks) for step, masks in updates(trainer) if step >= 15]
    moved = {
        step: sum(int((before[name] & ~after[name]).sum()) for name in after)
        for (_, before), (step, after) in pairwise(later)
    }

    assert list(moved) == list(range(16, 44))
    live = WEIGHTS - round(0.9 * WEIGHTS)
    for step, number in moved.items():
        share = 0.005 + 0.495 * (1 + cos(pi * step / 44)) / 2
        assert number <= share * live + 6  # six layers round
    assert sum(list(moved.values())[:5]) > 5 * 0.15 * live


def test_dynamic_relus_become_relu_between_a_quarter_and_half_of_the_training(trained):
    trainer, _ = trained

    betas = [beta for (beta,) in trainer.betas]

    # Beta of step n is set after the n steps before it, of 44.
    assert betas == pytest.approx([min(1.0, max(0.0, 1 - (step - 11) / 11)) for step in range(44)])
    assert betas[22:] == [0.0] * 22


def test_the_result_is_the_plain_network_without_dynamic_relus(trained):
    trainer, pruned = trained
    own = SmallResNet()

    assert pruned.model is trainer.model
    assert [module for module in trainer.through.modules() if isinstance(module, DyReLU)]
    assert not [module for module in pruned.model.modules() if isinstance(module, DyReLU)]
    assert find_sites(pruned.model) == find_sites(own)
    assert pruned.form == Form(shared=shareable(own))
    rebuilt = apply_form(pruned.form, SmallResNet())
    rebuilt.load_state_dict(pruned.model.state_dict())
    images, _ = next(digits().test.batches(16, device=CPU))
    expected = trainer.through.eval()(images)
    assert torch.equal(rebuilt.eval()(images), expected)
    assert torch.equal(pruned.model.eval()(images), expected)


@pytest.mark.parametrize(
    ("model", "learning_rate", "noted"),
    [(perceptron, 0.1, True), (perceptron, 0.01, False), (SmallResNet, 0.1, False)],
)
def test_a_note_warns_of_the_published_rate_without_batch_norm(model, learning_rate, noted):
    recipe = {"learning_rate": learning_rate, "nesterov": True}
    spec = PruneSpec(method="east", epochs=1, recipe=recipe)

    _, pruned = drain(east(trainer_for(model(), epochs=1), 0.9, spec))

    assert any("no batch norm" in note for note in pruned.notes) == noted


def test_parameters_of_dynamic_relus_are_noted_and_not_counted(trained):
    trainer, pruned = trained

    dense = 8 * (8 * 2 + 2 + 2 * 32 + 32)  # eight ReLUs of 8 channels: 8 -> 2 -> 2 * 2 * 8.
    assert any(f"{dense:,} dense parameters" in note for note in pruned.notes)
    assert sum(mask.numel() for mask in pruned.masks.values()) == UNIQUE
    assert sum(parameter.numel() for parameter in trainer.through.activations["stage.0.relu1"].parameters()) == 114


def test_pruned_weights_are_zero_and_live_ones_are_not(trained):
    _, pruned = trained

    for name, parameter in prunable_parameters(pruned.model).items():
        assert torch.equal(parameter != 0, pruned.masks[name])


def test_gradients_are_clipped_to_norm_one(trained):
    trainer, _ = trained

    assert max(trainer.norms) <= 1.0 + 1e-4
    assert max(trainer.norms) > 0.99


def test_scales_of_shared_weights_start_between_0_and_1_and_are_not_decayed():
    torch.manual_seed(0)
    trainer = trainer_of(IdleTrainer, SmallResNet(), 1)
    _, pruned = drain(east(trainer, 0.9, PruneSpec(method="east", epochs=1)))
    scales = {name: value for name, value in pruned.model.named_parameters() if name.endswith("share_scale")}

    optimizer = make_optimizer(pruned.model, SGD)

    assert len(scales) == 4
    assert all(0 < value.item() < 1 for value in scales.values())
    assert len({value.item() for value in scales.values()}) == 4
    decayed, free = ({id(parameter) for parameter in group["params"]} for group in optimizer.param_groups)
    assert {id(value) for value in scales.values()} <= free
    assert not {id(value) for value in scales.values()} & decayed


def test_frozen_dynamic_relus_stop_learning_where_the_phase_starts():
    trainer, _ = watched(epochs=2, freeze=True)
    free, _ = watched(epochs=2)
    start, end = 7, 11  # freezing follows the sixth of 22 steps

    def last_change(one):
        return max(
            step
            for step in range(1, len(one.inner))
            if any(not torch.equal(a, b) for a, b in zip(one.inner[step - 1], one.inner[step], strict=True))
        )

    assert last_change(trainer) < start
    assert start < last_change(free) <= end


def test_each_trick_can_be_turned_off():
    trainer, pruned = watched(epochs=1, dyrelu=False, share=False)

    assert trainer.betas[0] == set()
    assert pruned.form == Form()
    assert pruned.notes == ()
    assert count(pruned.masks) == WEIGHTS - round(0.9 * WEIGHTS)


def test_training_repeats_itself_under_a_seed():
    one, same, other = (watched(epochs=1, seed=seed)[1] for seed in (0, 0, 1))

    assert copied(one.model).keys() == copied(other.model).keys()
    assert all(torch.equal(value, copied(same.model)[name]) for name, value in copied(one.model).items())
    assert any(not torch.equal(mask, other.masks[name]) for name, mask in one.masks.items())


def test_a_shared_weights_gradient_is_the_sum_over_its_users():
    torch.manual_seed(0)
    model = SmallResNet()
    twin = copy.deepcopy(model)
    shared = shareable(model)
    apply_form(Form(shared=shared), model)
    weights, own = dict(model.named_parameters()), dict(twin.named_parameters())
    with torch.no_grad():
        for number, (user, owner) in enumerate(shared.items(), start=1):
            scale = 0.2 * number
            model.get_submodule(user.removesuffix(".weight")).share_scale.fill_(scale)
            own[user].copy_(scale * own[owner])  # without bias, a scaled output is a scaled weight
    images, labels = next(digits().train.batches(32, device=CPU))

    for one in (model, twin):
        nn.functional.cross_entropy(one(images), labels).backward()

    for owner in set(shared.values()):
        scaled = [0.2 * n * own[user].grad for n, (user, of) in enumerate(shared.items(), start=1) if of == owner]
        assert len(scaled) == 2
        torch.testing.assert_close(weights[owner].grad, own[owner].grad + sum(scaled), rtol=1e-3, atol=1e-6)
        assert not torch.allclose(weights[owner].grad, own[owner].grad, rtol=1e-2)


@pytest.mark.parametrize("share", [True, False])
def test_resnet34_has_the_published_number_of_live_weights_and_no_empty_layer(resnet34, share):
    # One input channel in place of three: 1,152 weights fewer than the 21,265,088 of colour images.
    sparsity = 1 - 2_127 / 21_263_936
    trainer = trainer_of(IdleTrainer, copy.deepcopy(resnet34), 1)

    _, pruned = drain(east(trainer, sparsity, PruneSpec(method="east", epochs=1, options={"share": share})))

    assert sum(mask.numel() for mask in pruned.masks.values()) == (11_163_200 if share else 21_263_936)
    assert count(pruned.masks) == 2_127
    assert min(per_layer(pruned.masks).values()) >= 1
    assert len(pruned.masks) == (37 - 16 if share else 37)


def test_a_sparsity_with_more_weights_than_are_unique_is_refused():
    spec = PruneSpec(method="east")

    with pytest.raises(SparsityError, match="share: false") as caught:
        check(task_for(SmallResNet(), 0.1, spec))
    assert caught.value.field == "sparsity"
    with pytest.raises(SparsityError, match="6 layers"):
        check(task_for(SmallResNet(), 0.9995, spec))
    check(task_for(SmallResNet(), 1 - 6 / WEIGHTS, spec))
    check(task_for(SmallResNet(), 0.1, PruneSpec(method="east", options={"share": False})))


def test_limited_layers_share_no_weight_and_keep_what_the_job_says():
    limits = {"exclude": ["stage.3.conv1"], "sparsity_of": {"stage.1.conv2": 0.5}}
    spec = PruneSpec(method="east", epochs=4, **limits)
    check(task_for(SmallResNet(), 0.7, spec))
    trainer = trainer_of(WatchingTrainer, SmallResNet(), 4)

    _, pruned = drain(east(trainer, 0.7, spec))

    live = per_layer(pruned.masks)
    assert live["stage.3.conv1.weight"] == 9 * 64
    assert live["stage.1.conv2.weight"] == 9 * 64 // 2
    assert sum(live.values()) == WEIGHTS - round(0.7 * WEIGHTS)
    # Without limits, the blocks 2 and 3 use the weights of block 1.
    assert pruned.form.shared == {"stage.2.conv1.weight": "stage.1.conv1.weight"}
    assert all(bool(masks["stage.3.conv1.weight"].all()) for _, masks in updates(trainer))


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"score": "synflow"}, "prune.score"),
        ({"distribution": "uniform"}, "prune.distribution"),
        ({"schedule": "cubic"}, "prune.schedule"),
        ({"granularity": "row"}, "prune.granularity"),
        ({"epochs": 0}, "prune.epochs"),
        ({"options": {"peak": 0.5}}, "prune.options.peak"),
        ({"options": {"phases": 0.5}}, "prune.options.phases"),
    ],
)
def test_unsuitable_options_and_axes_are_refused(wrong, field):
    with pytest.raises(SpecError) as caught:
        check(task_for(SmallResNet(), 0.9, PruneSpec(method="east", **wrong)))

    assert caught.value.field == field


def test_a_phase_that_ends_before_it_starts_is_refused():
    with pytest.raises(SpecError, match=r"phase_start \(0.5\) must not be above phase_end \(0.4\)"):
        pruning_options(PruneSpec(method="east", options={"phase_start": 0.5, "phase_end": 0.4}), EastOptions)


@pytest.mark.parametrize(("steps", "cycles"), [(16, 2), (17, 3), (41, 1), (400, 2), (35_200, 2)])
def test_middle_and_end_of_every_cycle_are_among_its_steps(steps, cycles):
    progress = cycle_steps(5, 5 + steps, cycles)
    length = steps // cycles

    for cycle in range(cycles):
        middle, end = (cycle + 0.5) / cycles, (cycle + 1) / cycles
        assert min(abs(value - middle) for value in progress.values()) < 1e-12
        assert abs(progress[5 + (cycle + 1) * length - 1] - end) < 1e-12
    assert list(progress) == sorted(progress)
    assert progress[5 + cycles * length - 1] == 1.0
    assert all(
        abs((step + 1 - 5) / (cycles * length) - value) <= 1 / (cycles * length) for step, value in progress.items()
    )
    gaps = [after - before for before, after in pairwise(progress)]
    assert max(gaps) <= 100


def test_trainings_too_short_for_a_cycle_have_none():
    assert cycle_steps(0, 3, 2) == {}
    trainer, pruned = watched(epochs=1, end=0.2, cycles=2)

    assert count(pruned.masks) == WEIGHTS - round(0.9 * WEIGHTS)
    assert {count(masks) for _, masks in updates(trainer)} <= {count(pruned.masks)}
