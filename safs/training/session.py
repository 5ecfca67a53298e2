"""Training epoch by epoch, with the pruned weights held at zero."""

import time
from collections.abc import Collection
from math import ceil, isfinite

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from safs.errors import SafsError
from safs.pruning.masks import Masks, apply_masks
from safs.pruning.protocol import Hooks
from safs.training.evaluate import evaluate
from safs.training.layout import to_fast_layout
from safs.training.learning_rate_schedules import SCHEDULES
from safs.training.optimizers import make_optimizer
from safs.training.seeding import RandomStream
from safs.training.settings import TrainingData, TrainingSettings
from safs.training.snapshot import (
    BestEpoch,
    Snapshot,
    give_optimizer,
    give_tensors,
    take_optimizer,
    take_tensors,
    to_cpu,
)
from safs.trials import DIVERGED, EpochMetrics


class Diverged(SafsError):
    """The loss of an epoch is not finite. ``epoch`` counts from 1."""

    code = "diverged"

    def __init__(self, epoch: int) -> None:
        super().__init__(f"the loss was not finite in epoch {epoch}: {DIVERGED}.")
        self.epoch = epoch


class TrainingSession:
    """Trains a model by a recipe, one epoch per call of ``step``.

    Pruned weights are zeroed again after every step. Their gradients and optimizer moments are not masked: every
    optimizer in ``OPTIMIZERS`` moves a weight by its own gradient alone, so those of a pruned weight affect no other
    weight, and every forward pass sees exact zeros.

    The caller's random generators are left alone (see ``RandomStream``). A last batch of a single sample is skipped,
    because batch norm cannot train on it.

    Args:
        model: maps images [B, C, H, W] to logits [B, classes]; trained in place, on the data's device.
        masks: masks by parameter name; None trains the dense network.
        exempt: parameters without weight decay, beside norms and biases.
        hooks: functions of a pruning method that every step calls.
        resume: snapshot to continue from, of a session whose arguments differed in ``settings.until`` at most.
    """

    def __init__(
        self,
        model: nn.Module,
        data: TrainingData,
        settings: TrainingSettings,
        *,
        masks: Masks | None = None,
        exempt: Collection[nn.Parameter] = (),
        hooks: Hooks = Hooks(),  # noqa: B008  # frozen
        resume: Snapshot | None = None,
    ) -> None:
        self.best: BestEpoch | None = None
        self.curve: list[EpochMetrics] = []
        self.one_class_epochs = 0
        """Number of latest evaluations in a row that predicted a single class."""
        self._model = to_fast_layout(model, data.device)
        self._data = data
        self._epochs = settings.epochs
        self._until = settings.epochs if settings.until is None else settings.until
        self._random = RandomStream(settings.seed, data.device)
        self._optimizer = make_optimizer(model, settings.recipe, exempt=exempt)
        self._schedule = SCHEDULES[settings.recipe.schedule].make(
            self._optimizer, settings.epochs, steps_per_epoch(len(data.train), data.batch_size)
        )
        self._hooks = hooks
        self._parameters = dict(model.named_parameters(remove_duplicate=False))
        self._masks: Masks = {}
        self._masked: list[Tensor] = []
        self._kept: list[Tensor] = []
        self._hold({name: mask.to(data.device) for name, mask in (masks or {}).items()})
        self.steps_done = 0
        """Number of optimizer steps so far."""
        if resume is not None:
            self._restore(resume)

    @property
    def finished(self) -> bool:
        """True if all epochs are done."""
        return len(self.curve) >= self._until

    def step(self) -> EpochMetrics:
        """Train one epoch and evaluate on the validation split.

        Raises:
            Diverged: the training or the validation loss is not finite. The session cannot continue.
        """
        assert not self.finished
        started = time.perf_counter()
        epoch = len(self.curve) + 1
        with self._random.active():
            train_loss, learning_rate = self._train_epoch()
        if not isfinite(train_loss):
            raise Diverged(epoch)
        self._schedule.epoch_done(train_loss)
        data = self._data
        with data.autocast():
            scored = evaluate(self._model, data.validation, batch_size=data.batch_size, device=data.device)
        if not isfinite(scored.cross_entropy):
            raise Diverged(epoch)
        seconds = time.perf_counter() - started
        metrics = EpochMetrics(epoch, train_loss, scored.cross_entropy, scored.accuracy, learning_rate, seconds)
        if self.best is None or rank(metrics) < rank(self.best.metrics):
            self.best = BestEpoch(metrics, self._copy_state())
        self.one_class_epochs = self.one_class_epochs + 1 if scored.predicted_classes == 1 else 0
        self.curve.append(metrics)
        return metrics

    def snapshot(self) -> Snapshot:
        """The state after the latest epoch. The session must not have diverged, and must have no hooks."""
        assert self.best is not None
        return Snapshot(
            span=self._epochs,
            steps=self.steps_done,
            curve=tuple(self.curve),
            one_class_epochs=self.one_class_epochs,
            best=BestEpoch(self.best.metrics, {name: to_cpu(tensor) for name, tensor in self.best.state.items()}),
            model=take_tensors(self._model),
            optimizer=take_optimizer(self._optimizer),
            schedule=self._schedule.state(),
            random=self._random.state(),
        )

    def _restore(self, saved: Snapshot) -> None:
        assert saved.span == self._epochs, "a snapshot of a training with another schedule"
        give_tensors(self._model, saved.model)
        give_optimizer(self._optimizer, saved.optimizer)
        self._schedule.restore(saved.schedule)
        self._random.restore(saved.random)
        self.best, self.curve = saved.best, list(saved.curve)
        self.one_class_epochs, self.steps_done = saved.one_class_epochs, saved.steps

    def _train_epoch(self) -> tuple[float, float]:
        """Train one epoch; returns the mean loss over its samples and the learning rate of its last step."""
        model, optimizer, data = self._model.train(), self._optimizer, self._data
        total = torch.zeros((), device=data.device)
        samples, learning_rate = 0, 0.0
        self._hold(self._masks)  # The memory of a weight is another one after a ``to`` of the caller's.
        batches = data.train.batches(
            data.batch_size, device=data.device, generator=self._random.generator, augment=data.augment
        )
        for images, labels in batches:
            if len(labels) == 1 < data.batch_size and samples:
                break
            with data.autocast():
                loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            self._hooks.after_backward(self.steps_done)
            optimizer.step()
            self._zero_pruned()
            if (masks := self._hooks.after_step(self.steps_done)) is not None:
                self._replace(masks)
            self.steps_done += 1
            total += loss.detach() * len(labels)
            samples += len(labels)
            learning_rate = optimizer.param_groups[0]["lr"]
            self._schedule.step_done()
        return float(total) / samples, learning_rate

    def _hold(self, masks: Masks) -> None:
        """Hold the weights that ``masks`` prune at zero from now on."""
        self._masks = masks
        apply_masks(self._parameters, masks)
        self._masked = [self._parameters[name].detach() for name in masks]
        # In the layout of the weights, or each step would take the slow path of a product of two layouts.
        self._kept = [
            torch.empty_like(weight).copy_(masks[name]) for name, weight in zip(masks, self._masked, strict=True)
        ]

    @torch.no_grad()
    def _replace(self, masks: Masks) -> None:
        """Hold other masks. Weights that come back start at 0, with their optimizer state cleared."""
        for name, mask in masks.items():
            if (before := self._masks.get(name)) is None:
                continue
            back = mask & ~before
            self._parameters[name].masked_fill_(back, 0.0)
            for value in self._optimizer.state.get(self._parameters[name], {}).values():
                if isinstance(value, Tensor) and value.shape == mask.shape:
                    value.masked_fill_(back, 0.0)
        self._hold(masks)

    @torch.no_grad()
    def _zero_pruned(self) -> None:
        if self._masked:
            torch._foreach_mul_(self._masked, self._kept)

    def _copy_state(self) -> dict[str, Tensor]:
        state = {name: tensor.detach().clone() for name, tensor in self._model.state_dict().items()}
        apply_masks(state, self._masks)
        return state


def steps_per_epoch(samples: int, batch_size: int) -> int:
    """Number of optimizer steps in an epoch; a last batch of a single sample is skipped."""
    lone = samples % batch_size == 1 and 1 < batch_size < samples
    return ceil(samples / batch_size) - lone


def rank(metrics: EpochMetrics) -> tuple[float, float]:
    """Sort key of the epochs of a training; the lowest is the best."""
    return -metrics.validation_accuracy, metrics.validation_loss
