"""Training several networks of one architecture as one, epoch by epoch."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite

import torch
import torch.nn.functional as F
from torch import Tensor

from safs.activations.rewired import RewiredModel
from safs.pruning.masks import Masks, apply_masks
from safs.training.seeding import RandomStream
from safs.training.session import Diverged, rank, steps_per_epoch
from safs.training.settings import TrainingData, TrainingSettings
from safs.training.snapshot import BestEpoch, Snapshot
from safs.training.stacked.captured import CapturedStep, Recorder
from safs.training.stacked.evaluate import evaluate_stack
from safs.training.stacked.rows import Rows
from safs.training.stacked.single import SingleTraining
from safs.training.stacked.stack import split
from safs.trials import EpochMetrics


@dataclass(slots=True)
class Member:
    """One training of a stack."""

    settings: TrainingSettings
    curve: list[EpochMetrics] = field(default_factory=list)
    best: EpochMetrics | None = None
    one_class_epochs: int = 0
    """Number of latest evaluations in a row that predicted a single class."""
    error: Diverged | None = None
    """Set if the training diverged."""


class StackedSession:
    """Trains K networks on the same batches, each by its own recipe and under the same masks.

    Each training has the numbers that a ``TrainingSession`` would give it, to float rounding. All have the same seed,
    number of epochs and steps so far, so that they share the order of the batches, the augmentation and dropout.

    A training that diverged stays in the stack until ``keep`` drops it; it changes no other training.

    Args:
        models: rewired copies of one model, on the CPU; their values are copied.
        settings: recipe, length and seed by model.
        masks: masks by parameter name; None trains dense networks.
        resume: snapshots to continue from, by model; None for all of them starts from the models' values.
        recorder: records the step on a GPU; None runs each step by itself.

    Raises:
        NotStackable: a layer of the network cannot be stacked.
    """

    def __init__(
        self,
        models: Sequence[RewiredModel],
        data: TrainingData,
        settings: Sequence[TrainingSettings],
        *,
        masks: Masks | None = None,
        resume: Sequence[Snapshot] | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        common = settings[0]
        assert all((one.epochs, one.until, one.seed) == (common.epochs, common.until, common.seed) for one in settings)
        self.members = [Member(one) for one in settings]
        self.steps_done = 0
        """Number of optimizer steps so far."""
        self._data, self._masks, self._recorder = data, masks or {}, recorder
        self._until = common.epochs if common.until is None else common.until
        self._steps = steps_per_epoch(len(data.train), data.batch_size)
        self._random = RandomStream(common.seed, data.device)
        self._alive = list(range(len(models)))
        singles = [SingleTraining.of(model, one, self._steps) for model, one in zip(models, settings, strict=True)]
        self._rows = Rows(singles, self._masks, data.device)
        if resume is not None:
            self._restore(resume)
        self._begin()

    @property
    def finished(self) -> bool:
        """True if all epochs are done, or no training is left."""
        return not self._alive or all(len(self.members[position].curve) >= self._until for position in self._alive)

    @property
    def not_recorded(self) -> str | None:
        """Why the steps cannot be recorded; None if they are, or were not to be."""
        return self._take_step.refusal if isinstance(self._take_step, CapturedStep) else None

    @property
    def alive(self) -> tuple[int, ...]:
        """Positions of the trainings that are still trained."""
        return tuple(self._alive)

    def keep(self, positions: Sequence[int]) -> None:
        """Train only these from now on, by taking their slices of the stack."""
        rows = [row for row, position in enumerate(self._alive) if position in positions]
        if len(rows) == len(self._alive):
            return
        self._alive = [self._alive[row] for row in rows]
        if self._alive:
            self._rows = self._rows.sliced(rows)
            self._begin()

    def step(self) -> dict[int, EpochMetrics]:
        """Train one epoch and evaluate on the validation split; returns the metrics of those that did not diverge."""
        assert not self.finished
        started = time.perf_counter()
        with self._random.active():
            losses = self._train_epoch()
        with self._data.autocast():
            scores = evaluate_stack(self._rows.network, self._data)
        seconds = (time.perf_counter() - started) / len(self._alive)  # Together they are those of the stack.
        made: dict[int, EpochMetrics] = {}
        improved: list[int] = []
        for row, (position, loss, scored) in enumerate(zip(self._alive, losses, scores, strict=True)):
            member = self.members[position]
            epoch = len(member.curve) + 1
            if not isfinite(loss) or not isfinite(scored.cross_entropy):
                member.error = Diverged(epoch)
                continue
            single = self._rows.singles[row]
            single.schedule.epoch_done(loss)
            metrics = EpochMetrics(epoch, loss, scored.cross_entropy, scored.accuracy, single.latest_rate, seconds)
            if member.best is None or rank(metrics) < rank(member.best):
                member.best = metrics
                improved.append(row)
            member.one_class_epochs = member.one_class_epochs + 1 if scored.predicted_classes == 1 else 0
            member.curve.append(metrics)
            made[position] = metrics
        self._rows.store_best(improved)
        self.keep([position for position in self._alive if self.members[position].error is None])
        return made

    def snapshot(self, position: int) -> Snapshot:
        """The state of one living training, from which a ``TrainingSession`` or another stack can continue."""
        member, row = self.members[position], self._alive.index(position)
        assert member.best is not None
        best_state = self._rows.best_state(row)
        apply_masks(best_state, self._masks)
        return Snapshot(
            span=member.settings.epochs,
            steps=self.steps_done,
            curve=tuple(member.curve),
            one_class_epochs=member.one_class_epochs,
            best=BestEpoch(member.best, best_state),
            model=self._rows.tensors(row),
            optimizer=self._rows.optimizer_state(row),
            schedule=self._rows.singles[row].schedule.state(),
            random=self._random.state(),
        )

    def _restore(self, snapshots: Sequence[Snapshot]) -> None:
        self.steps_done = snapshots[0].steps
        self._random.restore(snapshots[0].random)
        for row, (member, saved) in enumerate(zip(self.members, snapshots, strict=True)):
            assert (saved.span, saved.steps) == (member.settings.epochs, self.steps_done)
            member.curve, member.best = list(saved.curve), saved.best.metrics
            member.one_class_epochs = saved.one_class_epochs
            self._rows.load(row, saved)

    def _begin(self) -> None:
        """Make the tensors that a step writes to, for the present rows."""
        self._totals = torch.zeros(len(self._alive), device=self._data.device)
        self._take_step = (
            self._train_batch if self._recorder is None else CapturedStep(self._train_batch, self._recorder)
        )

    def _train_epoch(self) -> list[float]:
        """Train one epoch; the mean losses over its samples by row."""
        data, samples = self._data, 0
        self._rows.network.train()
        self._rows.hold()
        self._totals.zero_()
        rates = self._rows.rates_of_epoch(self._steps).to(data.device)
        batches = data.train.batches(
            data.batch_size, device=data.device, generator=self._random.generator, augment=data.augment
        )
        for number, (images, labels) in enumerate(batches):
            if number == self._steps:  # A last batch of a single image.
                break
            self._rows.rates.copy_(rates[number])
            self._take_step(images, labels)
            samples += len(labels)
            self.steps_done += 1
        return [float(total) / samples for total in self._totals.tolist()]

    def _train_batch(self, images: Tensor, labels: Tensor) -> None:
        with self._data.autocast():
            logits = self._rows.network(images)
            size = logits.shape[1]
            each = F.cross_entropy(logits.flatten(0, 1), labels.repeat_interleave(size), reduction="none")
        losses = split(each, 0, (-1, size)).mean(0)
        (gradient,) = torch.autograd.grad(losses.sum(), self._rows.network.flat)
        with torch.no_grad():
            self._rows.step(gradient)
            self._totals.add_(losses.detach() * len(labels))
