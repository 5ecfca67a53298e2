"""Joint pruning of weights and inputs, on digits; figures that depend on chance are means over seeds."""

from dataclasses import replace
from statistics import fmean

import pytest
import torch
from torch import Tensor, nn

from safs.data import TensorSplit
from safs.errors import SpecError
from safs.execution.training import Training, TrainingRun
from safs.execution.work import Context
from safs.inputs import InputSelection, SelectInputs
from safs.models.form import Form
from safs.networks import Blueprint
from safs.pruning.pruners import PRUNERS
from safs.pruning.removal.coupling import find_groups
from safs.pruning.removal.input_units import NAME, Inputs, find_inputs
from safs.pruning.removal.useless import useless_units
from safs.spec.pruning import PruneSpec
from safs.spec.training import Recipe
from safs.training.settings import TrainingData, TrainingSettings
from tests.pruning.trainers import CPU, RecordingTrainer, digits, drain, perceptron, task_for, trainer_for

EXAMPLE = torch.zeros(1, 1, 8, 8)
prune, check = PRUNERS["joint_input"].prune, PRUNERS["joint_input"].check


def joint(**changes: object) -> PruneSpec:
    return PruneSpec.model_validate({"method": "joint_input", "epochs": 5} | changes)


def all_images(split: TensorSplit) -> Tensor:
    return torch.cat([images for images, _ in split.batches(512, device=CPU)])


def constant_pixels() -> set[int]:
    return set((all_images(digits().train).flatten(1).std(0) == 0).nonzero().flatten().tolist())


@pytest.mark.parametrize("distribution", ["uniform", "global"])
def test_the_small_network_on_reduced_images_equals_the_masked_one_on_whole_images(distribution: str) -> None:
    images = all_images(digits().validation)
    trainer = trainer_for(perceptron(), 5)
    steps = prune(trainer, 0.8, joint(distribution=distribution))
    for _ in range(5):
        next(steps)
    with torch.no_grad():
        expected = trainer.model.eval()(images)  # trained under the masks; nothing is removed yet

    _, pruned = drain(steps)

    inputs = pruned.form.inputs
    assert inputs is not None
    assert pruned.model[1].in_features == len(inputs.kept) < 64
    assert pruned.model[1].out_features < 32
    with torch.no_grad():
        found = pruned.model.eval()(SelectInputs(inputs)(images))
    assert torch.allclose(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_constant_pixels_are_removed_first_and_their_contribution_stays_in_the_bias() -> None:
    images, constant = all_images(digits().train), constant_pixels()
    trainer = trainer_for(perceptron(), 0)
    with torch.no_grad():
        expected = trainer.model.eval()(images)
    # 32 weights read each of the constant pixels; the perceptron has 64 * 32 + 32 * 16 + 16 * 10 = 2,720.
    sparsity = 32 * len(constant) / 2720

    _, pruned = drain(prune(trainer, sparsity, joint(schedule="one_shot", epochs=0, distribution="global")))

    inputs = pruned.form.inputs
    assert inputs is not None
    assert len(constant) == 4
    assert set(range(64)) - set(inputs.kept) == constant
    with torch.no_grad():
        found = pruned.model.eval()(SelectInputs(inputs)(images))
    assert torch.allclose(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("seed", range(3))
def test_no_constant_pixel_is_read_after_training(seed: int) -> None:
    _, pruned = drain(prune(trainer_for(perceptron(seed), 3, seed=seed), 0.75, joint(epochs=3)))

    assert pruned.form.inputs is not None
    assert constant_pixels().isdisjoint(pruned.form.inputs.kept)


def test_the_chosen_pixels_give_a_higher_accuracy_than_as_many_random_ones() -> None:
    chosen, drawn = [], []
    for seed in range(4):
        _, pruned = drain(prune(trainer_for(perceptron(seed), 5, seed=seed), 0.97, joint()))
        assert pruned.form.inputs is not None
        kept = pruned.form.inputs.kept
        random = torch.randperm(64, generator=torch.Generator().manual_seed(seed))[: len(kept)].sort().values.tolist()
        chosen.append(accuracy_of_a_fresh_perceptron(kept, seed))
        drawn.append(accuracy_of_a_fresh_perceptron(tuple(random), seed))

    assert len(kept) < 20
    assert fmean(chosen) > fmean(drawn) + 0.03


def accuracy_of_a_fresh_perceptron(kept: tuple[int, ...], seed: int) -> float:
    """Returns the accuracy of the catalogue's perceptron, trained on these pixels alone."""
    inputs = InputSelection("pixel", kept)
    blueprint = Blueprint("mlp", 1, 8, 10, Form({"hidden.0.linear.weight": (256, len(kept))}, inputs))
    images = TrainingData(digits().train, digits().test, 128).select(inputs)
    run = TrainingRun(Context(blueprint, images), Training({}, Recipe(), 3, seed), "cpu")
    while not run.finished:
        run.advance(60.0)
    return run.outcome().metrics["accuracy"]


def test_exactly_the_useless_units_are_removed() -> None:
    trainer = trainer_for(perceptron(), 5)
    _, pruned = drain(prune(trainer, 0.8, joint()))
    full = perceptron()
    inputs = find_inputs(full, EXAMPLE)
    assert inputs is not None

    useless = useless_units(full, (inputs.group, *find_groups(full, EXAMPLE)), trainer.updates[-1].masks)

    assert pruned.form.inputs is not None
    assert set(range(64)) - set(useless[NAME]) == set(pruned.form.inputs.kept)
    widths = [pruned.model[layer].out_features for layer in (1, 3)]
    assert [32 - len(useless["1"]), 16 - len(useless["3"])] == widths


def test_a_constant_colour_channel_is_removed() -> None:
    trainer = colour_bench()
    # The first convolution reads 3 channels by 9 weights for each of 8 filters: 72 a channel.
    weights = sum(one.numel() for one in trainer.model.parameters() if one.ndim > 1)

    _, pruned = drain(prune(trainer, 72 / weights, joint(schedule="one_shot", epochs=0, distribution="global")))

    assert pruned.form.inputs == InputSelection("channel", (0, 2))
    assert pruned.model[0].in_channels == 2


def colour_bench() -> RecordingTrainer:
    """Returns digits in red and blue with a constant green channel, which a padded convolution reads."""
    grey = digits().train
    images = grey.images.repeat(1, 3, 1, 1)
    images[:, 1] = 128
    mean, std = torch.tensor([80.0, 128.0, 80.0]), torch.tensor([96.0, 1.0, 96.0])
    train = replace(grey, images=images, channels=3, mean=mean, std=std)
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10)
    )
    return RecordingTrainer(model, TrainingData(train, train, 256), TrainingSettings(Recipe(), epochs=0, seed=0))


def found_inputs(model: nn.Module, channels: int = 3) -> Inputs | None:
    return find_inputs(model, torch.zeros(1, channels, 8, 8))


class Shortcut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        return self.convolution(images) + images


def test_inputs_are_found_if_only_layers_read_them() -> None:
    pixels = found_inputs(nn.Sequential(nn.Dropout(0.1), nn.Flatten(), nn.Linear(192, 4)))
    channels = found_inputs(nn.Sequential(nn.Conv2d(3, 4, 3)))

    assert pixels is not None
    assert channels is not None
    assert (pixels.kind, pixels.group.units) == ("pixel", 192)
    assert (channels.kind, channels.group.units) == ("channel", 3)
    assert [slot.name for slot in channels.group.consumers] == ["0.weight"]


@pytest.mark.parametrize(
    ("model", "channels"),
    [
        (Shortcut(), 3),
        (nn.Sequential(nn.Conv2d(1, 4, 3)), 1),
        (nn.Sequential(nn.Conv2d(3, 6, 3, groups=3)), 3),
        (nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(48, 4)), 3),
    ],
    ids=["shortcut", "one channel", "grouped", "pooled"],
)
def test_no_input_can_be_removed_if_something_else_reads_them(model: nn.Module, channels: int) -> None:
    assert found_inputs(model, channels) is None


def test_another_granularity_is_refused() -> None:
    with pytest.raises(SpecError, match="'filter'") as caught:
        check(task_for(perceptron(), 0.5, joint(granularity="weight")))

    assert caught.value.field == "prune.granularity"
