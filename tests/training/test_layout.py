"""Networks with wide convolutions train in the layout channels-last, and their weights leave it again."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from safs.data import Splits, TensorSplit
from safs.execution.training import Training, TrainingRun, score
from safs.execution.work import Context
from safs.networks import Blueprint
from safs.pruning.masks import Masks
from safs.spec.training import Recipe
from safs.training import session as session_module
from safs.training.layout import to_contiguous, to_fast_layout
from safs.training.session import TrainingSession
from safs.training.settings import TrainingData, TrainingSettings
from tests.pruning.magnitude import magnitude_masks

CPU = torch.device("cpu")


def convolutions(width: int) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, width, 3),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, 8, 3),
        nn.Flatten(),
        nn.Linear(128, 10),
    )


def is_channels_last(weight: torch.Tensor) -> bool:
    return weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()


def few(digits: Splits) -> TrainingData:
    train, validation = digits.train, digits.validation
    assert isinstance(train, TensorSplit)
    assert isinstance(validation, TensorSplit)
    return TrainingData(
        replace(train, images=train.images[:128], labels=train.labels[:128]),
        replace(validation, images=validation.images[:60], labels=validation.labels[:60]),
        32,
    )


def trained(digits: Splits, masks: Masks | None = None) -> tuple[nn.Module, TrainingSession]:
    model = convolutions(16)
    session = TrainingSession(
        model, few(digits), TrainingSettings(Recipe(optimizer="adam", learning_rate=1e-2), 2, 0), masks=masks
    )
    session.step()
    session.step()
    return model, session


def test_only_networks_with_sixteen_input_channels_change_their_layout() -> None:
    wide, narrow = (to_fast_layout(convolutions(width), CPU) for width in (16, 15))

    assert is_channels_last(wide[3].weight)
    assert all(parameter.is_contiguous() for parameter in narrow.parameters())
    assert all(parameter.is_contiguous() for parameter in to_contiguous(wide).parameters())


def test_a_training_in_channels_last_has_the_losses_of_the_contiguous_layout(
    digits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks = magnitude_masks(convolutions(16), 0.9)
    fast = trained(digits, masks)[1]
    monkeypatch.setattr(session_module, "to_fast_layout", lambda model, device: model.to(device))
    plain = trained(digits, masks)[1]

    assert [epoch.train_loss for epoch in fast.curve] == pytest.approx(
        [epoch.train_loss for epoch in plain.curve], rel=1e-4
    )


def test_masks_hold_after_the_network_was_moved_to_another_layout(digits: Splits) -> None:
    masks = magnitude_masks(convolutions(16), 0.9)
    model, session = convolutions(16), None
    session = TrainingSession(model, few(digits), TrainingSettings(Recipe(learning_rate=1e-2), 3, 0), masks=masks)
    session.step()
    before = model[3].weight.data_ptr()

    model.to(memory_format=torch.contiguous_format)  # The weights now have other memory.
    session.step()

    assert model[3].weight.data_ptr() != before
    for name, mask in masks.items():
        assert torch.equal(model.get_parameter(name) != 0, mask), name


def test_the_network_of_a_training_is_contiguous_and_scores_as_its_best_epoch(digits: Splits) -> None:
    data = few(digits)
    context = Context(Blueprint("resnet18", 1, 8, 10), data)
    run = TrainingRun(context, Training({}, Recipe(learning_rate=1e-3), 1, 0), "cpu")
    while not run.finished:
        run.advance(60.0)
    network = run.trained().network

    assert network is not None
    assert all(tensor.is_contiguous() for tensor in network.state.values())
    scored = score(network, data.validation, data.batch_size, "cpu")
    assert scored.accuracy == run.outcome().metrics["accuracy"]


def test_bfloat16_trains_float32_weights_to_other_numbers(digits: Splits) -> None:
    data = few(digits)
    model = convolutions(16)
    settings = TrainingSettings(Recipe(optimizer="adam", learning_rate=1e-2), 2, 0)
    session = TrainingSession(model, replace(data, precision="bfloat16"), settings)
    session.step()
    session.step()

    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    exact = [epoch.train_loss for epoch in trained(digits)[1].curve]
    rounded = [epoch.train_loss for epoch in session.curve]
    assert rounded != exact
    assert rounded == pytest.approx(exact, rel=0.05)
