"""Timing of real trainings."""

import pytest
import torch

from safs.data import TensorSplit
from safs.estimates.on_this_machine import images
from safs.estimates.timing import Kind, Timing, Trainings, Untimed, time_trainings
from safs.networks import Blueprint, Network
from safs.spec.training import Recipe

MLP = Blueprint("mlp", 1, 8, 10)
GROUPS = (("hidden.0.relu",), ("hidden.1.relu", "hidden.2.relu"))
TRAININGS = Trainings(
    Recipe(), augment=True, precision="float32", groups=GROUPS, operators=("relu", "acon"), images=200, epochs=9
)


@pytest.fixture(scope="module")
def split() -> TensorSplit:
    return images(MLP, 200, crop_and_flip=True)


def test_all_four_kinds_are_timed_without_drawing_from_the_callers_generator(split: TensorSplit) -> None:
    before = torch.random.get_rng_state()

    timed = time_trainings(Network(MLP, {}), split, 64, "cpu", trainings=TRAININGS)

    assert isinstance(timed, Timing), timed
    assert set(timed.paces) == set(Kind)
    for pace in timed.paces.values():
        assert 0 < pace.step.low_s <= pace.step.median_s <= pace.step.high_s
        assert pace.validation_s > 0
        assert pace.start_s > 0
    assert timed.device.startswith("cpu, ")
    assert timed.gpu is None
    assert torch.equal(torch.random.get_rng_state(), before)


def test_an_exception_during_timing_is_reported_as_the_reason(split: TensorSplit) -> None:
    timed = time_trainings(Network(Blueprint("no_such_network", 1, 8, 10), {}), split, 64, "cpu", trainings=TRAININGS)

    assert isinstance(timed, Untimed)
    assert "no_such_network" in timed.reason


def test_synthetic_images_have_the_right_shape_and_take_little_memory() -> None:
    made = images(Blueprint("resnet18", 3, 224, 100), 10_000, crop_and_flip=False)

    assert made.images.shape[1:] == (3, 224, 224)
    assert made.images.numel() <= 2**27
    assert int(made.labels.max()) < 100
