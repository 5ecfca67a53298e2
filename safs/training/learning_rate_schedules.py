"""Learning-rate schedules by name. All but ``one_cycle`` move once an epoch, as SAFS's do (automl/SAFS, ac03fa1)."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    StepLR,
)

from safs.registry import Registry


class Schedule:
    """Moves the learning rate of an optimizer; told of every step and every epoch."""

    def __init__(
        self,
        *,
        by_step: LRScheduler | None = None,
        by_epoch: LRScheduler | None = None,
        by_loss: ReduceLROnPlateau | None = None,
    ) -> None:
        self._by_step = by_step
        self._by_epoch = by_epoch
        self._by_loss = by_loss

    def step_done(self) -> None:
        """To be called after every step of the optimizer."""
        if self._by_step is not None:
            self._by_step.step()

    def epoch_done(self, train_loss: float) -> None:
        """To be called after every epoch, with its mean training loss."""
        if self._by_epoch is not None:
            self._by_epoch.step()
        if self._by_loss is not None:
            self._by_loss.step(train_loss)

    def state(self) -> dict[str, Any]:
        """Where the schedule is; the rates of this moment are the optimizer's own state."""
        return {name: deepcopy(scheduler.state_dict()) for name, scheduler in self._parts()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from where another schedule of the same name, epochs and steps was."""
        for name, scheduler in self._parts():
            scheduler.load_state_dict(deepcopy(state[name]))

    def _parts(self) -> list[tuple[str, LRScheduler | ReduceLROnPlateau]]:
        parts = {"by_step": self._by_step, "by_epoch": self._by_epoch, "by_loss": self._by_loss}
        return [(name, scheduler) for name, scheduler in parts.items() if scheduler is not None]


Make: TypeAlias = Callable[[Optimizer, int, int], Schedule]
"""(optimizer, epochs >= 1, steps per epoch >= 1) -> schedule; the optimizer's own learning rate is the highest."""


@dataclass(frozen=True, slots=True)
class ScheduleEntry:
    """A schedule for trainings of any length, a single step included."""

    summary: str
    make: Make


def _constant(optimizer: Optimizer, epochs: int, steps: int) -> Schedule:
    return Schedule()


def _cosine(optimizer: Optimizer, epochs: int, steps: int) -> Schedule:
    return Schedule(by_epoch=CosineAnnealingLR(optimizer, T_max=epochs))


def _cosine_restarts(optimizer: Optimizer, epochs: int, steps: int) -> Schedule:
    # The lowest rate is SAFS's 5e-5 of 0.1, as a share, so that small learning rates fall too.
    lowest = 5e-4 * max(float(group["lr"]) for group in optimizer.param_groups)
    return Schedule(by_epoch=CosineAnnealingWarmRestarts(optimizer, T_0=max(1, epochs // 4), eta_min=lowest))


def _step(optimizer: Optimizer, epochs: int, steps: int) -> Schedule:
    return Schedule(by_epoch=StepLR(optimizer, step_size=max(1, epochs // 4), gamma=0.1))


def _multistep(optimizer: Optimizer, epochs: int, steps: int) -> Schedule:
    half = max(1, epochs // 2)
    milestones = [half, max(half + 1, 3 * epochs // 4)]
    return Schedule(by_epoch=MultiStepLR(optimizer, milestones, gamma=0.1))


def _halving(optimizer: Optimizer, epochs: int, steps: int) -> Schedule:
    return Schedule(by_epoch=StepLR(optimizer, step_size=20, gamma=0.5))


def _linear(optimizer: Optimizer, epochs: int, steps: int) -> Schedule:
    return Schedule(by_epoch=LinearLR(optimizer, start_factor=0.1, total_iters=5))


def _plateau(optimizer: Optimizer, epochs: int, steps: int) -> Schedule:
    return Schedule(by_loss=ReduceLROnPlateau(optimizer, factor=0.05, patience=2))


def _one_cycle(optimizer: Optimizer, epochs: int, steps: int) -> Schedule:
    # The momentum is the recipe's, so it is not cycled. Below 4 steps the rise of 0.3 of them has no step of its own.
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    total = max(4, epochs * steps)
    return Schedule(by_step=OneCycleLR(optimizer, max_lr=rates, total_steps=total, cycle_momentum=False))


SCHEDULES: Registry[ScheduleEntry] = Registry(
    "schedule",
    {
        "constant": ScheduleEntry("the same learning rate throughout", _constant),
        "cosine": ScheduleEntry("half a cosine down to 0 over all epochs", _cosine),
        "cosine_restarts": ScheduleEntry("a cosine down, four times, starting high again", _cosine_restarts),
        "step": ScheduleEntry("a tenth after every quarter of the epochs", _step),
        "multistep": ScheduleEntry("a tenth at half and again at three quarters of the epochs", _multistep),
        "halving": ScheduleEntry("half after every 20 epochs", _halving),
        "linear": ScheduleEntry("from a tenth up to the whole over the first 5 epochs", _linear),
        "plateau": ScheduleEntry("a twentieth once the training loss has not fallen for 3 epochs", _plateau),
        "one_cycle": ScheduleEntry("up and down again once, moved at every step (arXiv:1708.07120)", _one_cycle),
    },
)
