"""Learning-rate schedules by name.

A schedule is a function of the share of the run that is done, so it means the same in a trial of 5 epochs as in a final
training of 20. SAFS's own (automl/SAFS, ac03fa1) move once an epoch, and some count epochs: their shares are those of
its trainings of 200 epochs (``halving``) and of its trials of 80 (``linear``, ``plateau``).
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from math import cos, pi
from typing import Any, TypeAlias

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from safs.registry import Registry


class Schedule:
    """Moves the learning rate of an optimizer; told of every step and every epoch."""

    def __init__(
        self,
        *,
        by_step: LRScheduler | None = None,
        by_loss: ReduceLROnPlateau | None = None,
    ) -> None:
        self._by_step = by_step
        self._by_loss = by_loss

    def step_done(self) -> None:
        """To be called after every step of the optimizer."""
        if self._by_step is not None:
            self._by_step.step()

    def epoch_done(self, train_loss: float) -> None:
        """To be called after every epoch, with its mean training loss."""
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
        parts = {"by_step": self._by_step, "by_loss": self._by_loss}
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


def _by_share(optimizer: Optimizer, total: int, factor: Callable[[int], float]) -> Schedule:
    """A schedule whose rate in each step is ``factor(step)`` times the optimizer's own; steps count from 0."""
    return Schedule(by_step=LambdaLR(optimizer, lambda step: factor(min(step, total - 1))))


def _cosine(optimizer: Optimizer, epochs: int, steps: int) -> Schedule:
    total = epochs * steps
    return _by_share(optimizer, total, lambda step: (1 + cos(pi * step / total)) / 2)


def _cosine_restarts(optimizer: Optimizer, epochs: int, steps: int) -> Schedule:
    # The lowest rate is SAFS's 5e-5 of 0.1, as a fraction of the highest, so that small learning rates fall too.
    total, lowest = epochs * steps, 5e-4
    return _by_share(
        optimizer, total, lambda step: lowest + (1 - lowest) * (1 + cos(pi * (4 * step % total) / total)) / 2
    )


def _step(optimizer: Optimizer, epochs: int, steps: int) -> Schedule:
    total = epochs * steps
    return _by_share(optimizer, total, lambda step: 0.1 ** (4 * step // total))


def _multistep(optimizer: Optimizer, epochs: int, steps: int) -> Schedule:
    total = epochs * steps
    return _by_share(optimizer, total, lambda step: 0.1 ** ((2 * step >= total) + (4 * step >= 3 * total)))


def _warm_up(optimizer: Optimizer, epochs: int, steps: int) -> Schedule:
    # The code of Liu et al. (2022), arXiv:2212.06145: up over 20,000 of 39,100 steps, down at epochs 25 and 32 of 50.
    total = epochs * steps
    return _by_share(
        optimizer,
        total,
        lambda step: 0.001 + 0.999 * 2 * step / total if 2 * step < total else 0.1 if 100 * step < 64 * total else 0.01,
    )


def _halving(optimizer: Optimizer, epochs: int, steps: int) -> Schedule:
    total = epochs * steps
    return _by_share(optimizer, total, lambda step: 0.5 ** (10 * step // total))


def _linear(optimizer: Optimizer, epochs: int, steps: int) -> Schedule:
    total = epochs * steps
    return _by_share(optimizer, total, lambda step: 0.1 + 0.9 * min(16 * step / total, 1.0))


def _plateau(optimizer: Optimizer, epochs: int, steps: int) -> Schedule:
    # torch's patience counts the epochs before the one that lowers the rate: 2 in SAFS's trials of 80 epochs.
    return Schedule(by_loss=ReduceLROnPlateau(optimizer, factor=0.05, patience=max(1, epochs // 25) - 1))


def _one_cycle(optimizer: Optimizer, epochs: int, steps: int) -> Schedule:
    # The momentum is the recipe's, so it is not cycled. Below 4 steps the rise of 0.3 of them has no step of its own.
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    total = max(4, epochs * steps)
    return Schedule(by_step=OneCycleLR(optimizer, max_lr=rates, total_steps=total, cycle_momentum=False))


SCHEDULES: Registry[ScheduleEntry] = Registry(
    "schedule",
    {
        "constant": ScheduleEntry("the same learning rate throughout", _constant),
        "cosine": ScheduleEntry("half a cosine down to 0", _cosine),
        "cosine_restarts": ScheduleEntry(
            "a cosine down in each quarter of the run, starting high again", _cosine_restarts
        ),
        "step": ScheduleEntry("a tenth after every quarter of the run", _step),
        "multistep": ScheduleEntry("a tenth at half and again at three quarters of the run", _multistep),
        "warm_up": ScheduleEntry("up over half of the run, then a tenth, then a hundredth from 64%", _warm_up),
        "halving": ScheduleEntry("half after every tenth of the run", _halving),
        "linear": ScheduleEntry("from a tenth up to the whole in the first sixteenth", _linear),
        "plateau": ScheduleEntry("a twentieth once the training loss stalls for 1/25 of the epochs", _plateau),
        "one_cycle": ScheduleEntry("up over three tenths of the run, then down (arXiv:1708.07120)", _one_cycle),
    },
)
