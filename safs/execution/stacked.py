"""Several trainings of one stage as a single one, wherever they can be stacked."""

import gc
import time
from collections.abc import Sequence
from math import inf
from typing import TypeAlias

import torch

from safs.activations.surgery import rewire
from safs.execution.training import Training, TrainingRun, outcome_of, reason_to_leave
from safs.execution.work import Context
from safs.training.settings import TrainingSettings
from safs.training.snapshot import Snapshot
from safs.training.stacked.captured import Recorder
from safs.training.stacked.network import check_outputs
from safs.training.stacked.session import StackedSession
from safs.training.stacked.stack import NotStackable
from safs.trials import EpochMetrics, Outcome

Advance: TypeAlias = tuple[tuple[int, EpochMetrics], ...]
"""(position of a training, metrics of an epoch) in the order of the epochs."""
CHECKED_IMAGES = 4
"""Images on which a stack is compared with the network alone before it is trained."""


class StackedRun:
    """Trainings in progress, of which those with the same seed and length are trained as one.

    Trainings whose network cannot be stacked run one after the other, to the same outcomes; ``reason`` says why. So do
    parts of a stack that runs out of memory: it is halved until it fits. Its epochs are then reported again.

    Args:
        device: device to train on, e.g. ``cpu`` or ``cuda``.
        resume: snapshot to continue from by training; None begins.
        recorder: records the steps of stacks on a GPU; None runs each step by itself.
    """

    def __init__(
        self,
        context: Context,
        trainings: Sequence[Training],
        device: str,
        resume: Sequence[Snapshot | None] | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self._context, self._trainings, self._device, self._recorder = context, trainings, device, recorder
        self._resume = list(resume) if resume is not None else [None] * len(trainings)
        self._waiting = groups_of(trainings, self._resume)
        self._part: _Stack | _Alone | None = None
        self._outcomes: dict[int, Outcome] = {}
        self._snapshots: dict[int, Snapshot] = {}
        self.reason: str | None = None
        """Why the network cannot be stacked; None if it can."""
        self.not_recorded: str | None = None
        """Why the steps cannot be recorded; None if they can, or were not to be."""
        self.halved = False
        """True if a stack ran out of memory."""

    @property
    def finished(self) -> bool:
        """True if all trainings have ended."""
        return len(self._outcomes) == len(self._trainings)

    def advance(self, at_least_s: float) -> Advance:
        """Run whole epochs until ``at_least_s`` seconds have passed or the run is finished; returns their metrics."""
        began = time.perf_counter()
        done: list[tuple[int, EpochMetrics]] = []
        while not self.finished:
            done += self._epoch()
            if time.perf_counter() - began >= at_least_s:
                break
        return tuple(done)

    def outcome(self, position: int) -> Outcome:
        """The outcome of one training of the finished run."""
        return self._outcomes[position]

    def snapshot(self, position: int) -> Snapshot | None:
        """The state from which a longer training continues; None if the training failed, was left or is complete."""
        return self._snapshots.get(position)

    def _epoch(self) -> Advance:
        if self._part is None:
            self._begin(self._waiting.pop(0))
        part = self._part
        if part is None:
            return ()
        try:
            done = part.epoch()
        except torch.OutOfMemoryError:
            assert isinstance(part, _Stack)  # A training alone has it as its outcome.
            self._halve(part.positions)
            return ()
        if isinstance(part, _Stack) and part.not_recorded is not None:
            self.not_recorded, self._recorder = part.not_recorded, None
        self._outcomes |= part.outcomes
        self._snapshots |= part.snapshots
        if part.finished:
            self._part = None
        return done

    def _begin(self, positions: list[int]) -> None:
        trainings = [self._trainings[position] for position in positions]
        resume = [self._resume[position] for position in positions]
        if len(positions) == 1 and self._recorder is None:
            self._part = _Alone(self._context, positions[0], trainings[0], self._device, resume[0])
            return
        try:
            self._part = _Stack(self._context, positions, trainings, self._device, resume, self._recorder)
        except NotStackable as error:
            self.reason, self._recorder = error.message, None
            self._waiting = [[position] for position in [*positions, *(p for group in self._waiting for p in group)]]
        except torch.OutOfMemoryError:
            self._halve(positions)

    def _halve(self, positions: list[int]) -> None:
        self._part, self.halved = None, True
        gc.collect()  # The session and its schedules reference each other.
        if self._device == "cuda":
            torch.cuda.empty_cache()
        middle = (len(positions) + 1) // 2
        if len(positions) == 1:
            self._recorder = None
        self._waiting[:0] = [half for half in (positions[:middle], positions[middle:]) if half]


def groups_of(trainings: Sequence[Training], resume: Sequence[Snapshot | None]) -> list[list[int]]:
    """Positions of the trainings that can be one stack: same seed, epochs and steps so far.

    Within a group, equal optimizers and operators are neighbours, so that each runs once on its slice.
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    for position, (training, snapshot) in enumerate(zip(trainings, resume, strict=True)):
        steps = 0 if snapshot is None else snapshot.steps
        key = (training.seed, training.epochs, training.until, training.leaves, steps)
        groups.setdefault(key, []).append(position)

    def order(position: int) -> tuple[object, ...]:
        training = trainings[position]
        return training.recipe.optimizer, tuple(sorted(training.assignment.items())), position

    return [sorted(positions, key=order) for positions in groups.values()]


class _Alone:
    """A training that is no part of a stack."""

    def __init__(
        self, context: Context, position: int, training: Training, device: str, resume: Snapshot | None
    ) -> None:
        self._position = position
        self._run = TrainingRun(context, training, device, resume)
        self.outcomes: dict[int, Outcome] = {}
        self.snapshots: dict[int, Snapshot] = {}

    @property
    def finished(self) -> bool:
        return self._run.finished

    def epoch(self) -> Advance:
        done = self._run.advance(at_least_s=0.0)
        if self._run.finished:
            self.outcomes[self._position] = self._run.outcome()
            if (snapshot := self._run.snapshot()) is not None:
                self.snapshots[self._position] = snapshot
        return tuple((self._position, metrics) for metrics in done)


class _Stack:
    """Trainings that are one stack."""

    def __init__(
        self,
        context: Context,
        positions: list[int],
        trainings: Sequence[Training],
        device: str,
        resume: Sequence[Snapshot | None],
        recorder: Recorder | None,
    ) -> None:
        began = time.perf_counter()
        self.positions, self._trainings = positions, trainings
        self.outcomes: dict[int, Outcome] = {}
        self.snapshots: dict[int, Snapshot] = {}
        model = context.blueprint.build(trainings[0].seed, state=context.start)
        models = [
            rewire(model, training.assignment, learnable=training.learnable, scalars=training.scalars)
            for training in trainings
        ]
        check_outputs(models, next(context.data.on(torch.device("cpu")).train.batches(CHECKED_IMAGES, device=_CPU))[0])
        snapshots = [snapshot for snapshot in resume if snapshot is not None]
        self._session = StackedSession(
            models,
            context.data.on(torch.device(device)),
            [TrainingSettings(one.recipe, one.epochs, one.seed, one.until) for one in trainings],
            masks=context.masks,
            resume=snapshots or None,
            recorder=recorder,
        )
        self._spent_s = dict.fromkeys(positions, (time.perf_counter() - began) / len(positions))
        """Seconds of each training: its share of the stack's, so that those of all are the stack's together."""

    @property
    def finished(self) -> bool:
        return len(self.outcomes) == len(self.positions)

    @property
    def not_recorded(self) -> str | None:
        return self._session.not_recorded

    def epoch(self) -> Advance:
        began = time.perf_counter()
        done = self._session.step()
        left = [position for position in self.positions if position not in self.outcomes]
        for position in left:
            self._spent_s[position] += (time.perf_counter() - began) / len(left)
        for place, (position, training) in enumerate(zip(self.positions, self._trainings, strict=True)):
            if position not in self.outcomes:
                self._end(place, position, training)
        self._session.keep([place for place, position in enumerate(self.positions) if position not in self.outcomes])
        return tuple((self.positions[place], metrics) for place, metrics in done.items())

    def _end(self, place: int, position: int, training: Training) -> None:
        """Note the outcome of a training if this was its last epoch."""
        session, member = self._session, self._session.members[place]
        curve = tuple(member.curve)
        if member.error is not None or member.best is None:
            error = "no epoch ended" if member.error is None else member.error.message
            self.outcomes[position] = Outcome(inf, {}, self._spent_s[position], curve, error)
            return
        left = reason_to_leave(training, len(curve), member.one_class_epochs, session.steps_done)
        if left is None and not session.finished:
            return
        self.outcomes[position] = outcome_of(member.best, self._spent_s[position], curve, left)
        if left is None and len(curve) < training.epochs:
            self.snapshots[position] = session.snapshot(place)


_CPU = torch.device("cpu")
