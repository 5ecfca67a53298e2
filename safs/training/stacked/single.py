"""One training of a stack as a training by itself: its schedule, and its way to and from a snapshot."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from safs.activations.rewired import RewiredModel
from safs.training.learning_rate_schedules import SCHEDULES, Schedule
from safs.training.optimizers import make_optimizer
from safs.training.settings import TrainingSettings
from safs.training.snapshot import OptimizerState, give_optimizer, take_optimizer, take_tensors
from safs.training.stacked.network import Place, parameters_of
from safs.training.stacked.optimizers import STACKED_OPTIMIZERS, StackedOptimizer


@dataclass(slots=True)
class SingleTraining:
    """The network, optimizer and schedule of one training, on the CPU.

    The network has the values of the start, and the optimizer no state: both are forms for the values of a row.
    """

    model: RewiredModel
    settings: TrainingSettings
    optimizer: Optimizer
    schedule: Schedule
    latest_rate: float = 0.0
    """Learning rate of the last step of the latest epoch."""

    @classmethod
    def of(cls, model: RewiredModel, settings: TrainingSettings, steps: int) -> "SingleTraining":
        """The training with ``steps`` optimizer steps an epoch, before its first epoch."""
        optimizer = make_optimizer(model, settings.recipe, exempt=model.activation_parameters())
        schedule = SCHEDULES[settings.recipe.schedule].make(optimizer, settings.epochs, steps)
        optimizer.step()  # Without gradients it changes nothing. Schedules warn if there was no step before theirs.
        return cls(model, settings, optimizer, schedule)

    @property
    def kind(self) -> StackedOptimizer:
        """The optimizer over the rows of a stack."""
        return STACKED_OPTIMIZERS[self.settings.recipe.optimizer]

    def rates_of_epoch(self, steps: int) -> list[float]:
        """The learning rates of the steps of the next epoch; advances the schedule."""
        rates = []
        for _ in range(steps):
            rates.append(float(self.optimizer.param_groups[0]["lr"]))
            self.schedule.step_done()
        self.latest_rate = rates[-1]
        return rates

    def tensors(self, places: Sequence[Place], flat: Tensor, statistics: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """All parameters and buffers, with the values of a row [P] and its batch norms' statistics, on the CPU."""
        made = take_tensors(self.model) | {name: value.clone() for name, value in statistics.items()}
        for name, parameter, span in self._spans(places):
            made[name] = flat[span].view(parameter.shape).clone()
        return made

    def state_dict(self, places: Sequence[Place], flat: Tensor, statistics: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The state dict of the network, with the values of a row, on the CPU."""
        values = self.tensors(places, flat, statistics)
        return {name: values[name] for name in self.model.state_dict()}

    def optimizer_state(self, places: Sequence[Place], row: Mapping[str, Tensor]) -> OptimizerState:
        """The state of the optimizer, from the state of a row on the CPU: [P] of a weight, [1] of a training."""
        recipe, kind = self.settings.recipe, self.kind
        names = [name for name in row if name != "momentum_buffer" or recipe.momentum > 0]
        for _, parameter, span in self._spans(places):
            if names and parameter.requires_grad:
                self.optimizer.state[parameter] = {
                    name: row[name][span].view(parameter.shape).clone()
                    if name in kind.by_weight
                    else row[name].view(()).clone()
                    for name in names
                }
        taken = take_optimizer(self.optimizer)
        self.optimizer.state.clear()
        return OptimizerState(taken.state, kind.on_host)

    def load_optimizer(self, places: Sequence[Place], saved: OptimizerState) -> dict[str, Tensor]:
        """Continue from the rates of ``saved``; returns its state as that of a row, on the CPU."""
        give_optimizer(self.optimizer, saved)
        kind, columns = self.kind, places[-1].stop
        row = {name: torch.zeros(columns) for name in kind.by_weight}
        row |= {name: torch.tensor([value]) for name, value in kind.by_row.items()}
        for _, parameter, span in self._spans(places):
            for name, value in self.optimizer.state.get(parameter, {}).items():
                if name in kind.by_weight:
                    row[name][span] = value.flatten()
                elif name in kind.by_row:
                    row[name] = value.view(1).float()
        self.optimizer.state.clear()
        return row

    def flat_of(self, places: Sequence[Place], tensors: Mapping[str, Tensor]) -> Tensor:
        """The values of a row [P], from parameters by name."""
        flat = torch.zeros(places[-1].stop)
        for name, _, span in self._spans(places):
            flat[span] = tensors[name].flatten().float()
        return flat

    def _spans(self, places: Sequence[Place]) -> Iterator[tuple[str, nn.Parameter, slice]]:
        """Name, parameter and columns of each parameter."""
        for place in places:
            start = place.start
            for name, parameter in parameters_of(self.model, place):
                yield name, parameter, slice(start, start + parameter.numel())
                start += parameter.numel()
