"""Real trainers for tests of pruning methods: small perceptrons on scikit-learn's digits."""

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import torch
from torch import Tensor, nn

from safs.data import Splits, load
from safs.pruning.masks import Masks
from safs.pruning.protocol import Hooks, Pruned, PruningTask, Steps
from safs.spec.data import DataSpec
from safs.spec.pruning import PruneSpec
from safs.spec.training import Recipe
from safs.training.pruning_trainer import PruningTrainer
from safs.training.settings import TrainingData, TrainingSettings
from safs.trials import EpochMetrics

CPU = torch.device("cpu")
RECIPE = Recipe(optimizer="adam", learning_rate=2e-3)


@cache
def digits() -> Splits:
    return load(DataSpec(dataset="digits"), root=None, channels=1, image_size=8, seed=0)


def perceptron(seed: int = 0, widths: tuple[int, ...] = (32, 16), activation: type[nn.Module] = nn.ReLU) -> nn.Module:
    """Returns linear layers with biases, named 1, 3, 5 ..., without norms."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        sizes = (64, *widths, 10)
        layers = [layer for pair in pairwise(sizes) for layer in (nn.Linear(*pair), activation())]
        return nn.Sequential(nn.Flatten(), *layers[:-1])


def trainer_for(model: nn.Module, epochs: int, *, seed: int = 0, batch_size: int = 256, recipe: Recipe = RECIPE):
    data = TrainingData(digits().train, digits().validation, batch_size)
    return RecordingTrainer(model, data, TrainingSettings(recipe, epochs, seed))


def task_for(model: nn.Module, sparsity: float, spec: PruneSpec) -> PruningTask:
    return PruningTask(model.to("meta"), torch.zeros(1, 1, 8, 8, device="meta"), sparsity, spec, steps_per_epoch=6)


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """A recorded call of ``Trainer.train``."""

    epochs: int
    masks: Masks
    """Masks at the beginning."""
    before: dict[str, Tensor]
    """State dict at the beginning."""
    after: dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class UpdateRecord:
    """A recorded return value of a hook."""

    step: int
    masks: Masks
    state: dict[str, Tensor]
    """State dict of the model before the masks are applied."""
    gradients: dict[str, Tensor]
    """Gradients of the masked weights in that step."""


class RecordingTrainer(PruningTrainer):
    """A real trainer that records its trainings and the masks that hooks returned."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.trainings: list[TrainingRecord] = []
        self.updates: list[UpdateRecord] = []
        self.steps = self.scorings = 0

    def batches(self):
        self.scorings += 1
        return super().batches()

    def train(self, epochs: int, *, masks: Masks | None = None, hooks: Hooks = Hooks(), through=None):  # noqa: B008  # frozen
        before = copied(self.model)

        def after_step(step: int) -> Masks | None:
            self.steps += 1
            if (returned := hooks.after_step(step)) is not None:
                gradients = {name: self.model.get_parameter(name).grad.clone() for name in returned}
                self.updates.append(UpdateRecord(step, _cloned(returned), copied(self.model), gradients))
            return returned

        recorded = Hooks(after_backward=hooks.after_backward, after_step=after_step)
        yield from super().train(epochs, masks=masks, hooks=recorded, through=through)
        self.trainings.append(TrainingRecord(epochs, _cloned(masks or {}), before, copied(self.model)))


def drain(pruning: Steps) -> tuple[list[EpochMetrics], Pruned]:
    """Runs a pruning to its end; returns all its epochs and its result."""
    epochs: list[EpochMetrics] = []
    while True:
        try:
            epochs.append(next(pruning))
        except StopIteration as stop:
            return epochs, stop.value


def copied(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def count(masks: Masks) -> int:
    return sum(int(mask.sum()) for mask in masks.values())


def _cloned(masks: Masks) -> Masks:
    return {name: mask.clone() for name, mask in masks.items()}
