"""The memory of a GPU and the images on it are kept from trial to trial of a stage. The tests need no GPU."""

import weakref
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from safs import data
from safs.execution import runs
from safs.execution.training import Training
from safs.execution.work import Context, Run
from safs.networks import Blueprint
from safs.spec.data import DataSpec
from safs.spec.training import Recipe
from safs.training.settings import TrainingData
from workers.on_ray import trial_actor
from workers.on_ray.orders import TrainOrder
from workers.on_ray.trial_actor import TrialActor


@dataclass
class Device:
    """Requests to a GPU, in numbers."""

    moves: int = 0
    """Number of copies of a stage's images."""
    emptied: list[int] = field(default_factory=list)
    """Contexts that were alive whenever the cached memory was given back."""
    alive: "weakref.WeakSet[_Images]" = field(default_factory=weakref.WeakSet)


class _Images(TrainingData):
    """Images on the device."""

    __slots__ = ("__weakref__",)


@dataclass(frozen=True)
class Stage:
    """Stands for a ``SharedContext``, which needs a Ray."""

    name: str

    def open(self) -> Context:
        splits = data.load(DataSpec(dataset="digits"), root=None, channels=1, image_size=8, seed=0)
        images = TrainingData(splits.train, splits.validation, 512, augment=False)
        return Context(Blueprint("mlp", 1, 8, 10), images)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    """A GPU that computes on the CPU."""
    device = Device()

    def on(images: TrainingData, _: torch.device) -> TrainingData:
        if isinstance(images, _Images):
            return images  # They are there.
        device.moves += 1
        moved = _Images(images.train, images.validation, images.batch_size, augment=images.augment)
        device.alive.add(moved)
        return moved

    def begin(context: Context, work: Training, _: str, resume: Any) -> Run:
        return runs.begin(context, work, "cpu", resume)

    monkeypatch.setattr(TrainingData, "on", on)
    monkeypatch.setattr(trial_actor, "begin", begin)
    monkeypatch.setattr(trial_actor, "compute_repeatably", lambda _: None)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: device.emptied.append(len(device.alive)))
    return device


def _train(actor: TrialActor, stage: Stage, seed: int) -> None:
    context: Any = stage
    order: TrainOrder | None = TrainOrder(context, Training({}, Recipe(), 1, seed), keep=True, resume=None, origin=None)
    while not (step := actor.step(order)).done:
        order = None
    assert step.answer.outcome.error is None


def test_images_and_cached_memory_stay_on_the_device_until_another_stage_begins(device: Device) -> None:
    actor = TrialActor("cuda", torch.get_num_threads())

    for seed in range(3):
        _train(actor, Stage("prune"), seed)
    assert (device.moves, device.emptied) == (1, [0])

    for seed in range(2):
        _train(actor, Stage("joint"), seed)
    # The images of the first stage are dropped before the memory is given back, so that none of it stays.
    assert (device.moves, device.emptied) == (2, [0, 0])


def test_a_worker_that_rests_gives_all_memory_back(device: Device) -> None:
    actor = TrialActor("cuda", torch.get_num_threads())
    _train(actor, Stage("prune"), 0)

    actor.rest()

    assert device.emptied == [0, 0]
    assert len(device.alive) == 0


def test_a_worker_on_the_cpu_has_no_memory_to_give_back(device: Device) -> None:
    actor = TrialActor("cpu", torch.get_num_threads())

    _train(actor, Stage("prune"), 0)
    actor.rest()

    assert device.emptied == []
