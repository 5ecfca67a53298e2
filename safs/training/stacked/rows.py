"""The rows of a stack: the weights and the optimizers' state of all trainings, on their device."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from safs.pruning.masks import Masks
from safs.training.snapshot import OptimizerState, Snapshot
from safs.training.stacked.network import SCALARS, StackedNetwork
from safs.training.stacked.optimizers import STACKED_OPTIMIZERS, Constants, StackedOptimizer, State, constants_of
from safs.training.stacked.single import SingleTraining

_FLAT = "flat"


@dataclass(slots=True)
class _Group:
    """Neighbouring rows with the same optimizer."""

    rows: slice
    optimizer: StackedOptimizer
    constants: Constants
    state: State


class Rows:
    """The networks of a stack with their optimizers; row k belongs to training k.

    Args:
        masks: masks by parameter name, for every network.
    """

    def __init__(self, singles: Sequence[SingleTraining], masks: Masks, device: torch.device) -> None:
        self.singles = list(singles)
        self.network = StackedNetwork([single.model for single in singles]).to(device)
        self.rates = torch.zeros(len(singles), 1, device=device)
        """Learning rates of the present step, [K, 1]."""
        self._masks, self._device = masks, device
        self._columns(masks)
        self._groups = list(self._make_groups())
        self._best: dict[str, Tensor] = {}
        self.hold()

    def sliced(self, rows: Sequence[int]) -> "Rows":
        """The stack of these rows alone, with their state."""
        made = Rows([self.singles[row] for row in rows], self._masks, self._device)
        chosen = torch.tensor(rows, device=self._device)
        with torch.no_grad():
            for name, value in made._state().items():
                value.copy_(self._state()[name][chosen])
        made._best = {name: value[chosen] for name, value in self._best.items()}
        for position, row in enumerate(rows):
            made._give_state(position, self._row_state(row))
        return made

    def rates_of_epoch(self, steps: int) -> Tensor:
        """The learning rates of the steps of the next epoch, [steps, K, 1], on the CPU; advances the schedules."""
        columns = [single.rates_of_epoch(steps) for single in self.singles]
        return torch.tensor(columns, dtype=torch.float32).t().unsqueeze(2)

    @torch.no_grad()
    def hold(self) -> None:
        """Set pruned weights to 0, and kept ones that are exactly 0 to the smallest number, as ``apply_masks`` does."""
        flat = self.network.flat
        flat.mul_(self._kept)
        flat.masked_fill_((flat == 0) & self._held, torch.finfo(flat.dtype).tiny)

    def step(self, gradient: Tensor) -> None:
        """Take one step of every optimizer; pruned weights stay 0."""
        weights = self.network.flat.detach()
        for group in self._groups:
            rows = group.rows
            group.optimizer.rule(
                weights[rows], gradient[rows], self.rates[rows], self._decayed, group.state, group.constants
            )
        weights.mul_(self._kept)

    def store_best(self, rows: Sequence[int]) -> None:
        """Keep a copy of the present values of these rows as their best."""
        if not rows:
            return
        chosen = torch.tensor(rows, device=self._device)
        for name, value in self._state().items():
            if name not in self._best:
                self._best[name] = torch.zeros_like(value)
            self._best[name][chosen] = value.detach()[chosen]

    def best_state(self, row: int) -> dict[str, Tensor]:
        """The state dict of the best epoch of a row, on the CPU."""
        values = {name: value[row].cpu() for name, value in self._best.items()}
        return self.singles[row].state_dict(self.network.places, values.pop(_FLAT), values)

    def tensors(self, row: int) -> dict[str, Tensor]:
        """All parameters and buffers of a row, on the CPU."""
        values = {name: value[row].detach().cpu() for name, value in self._state().items()}
        return self.singles[row].tensors(self.network.places, values.pop(_FLAT), values)

    def optimizer_state(self, row: int) -> OptimizerState:
        """The state of a row's optimizer, on the CPU."""
        state = {name: value.cpu() for name, value in self._row_state(row).items()}
        return self.singles[row].optimizer_state(self.network.places, state)

    @torch.no_grad()
    def load(self, row: int, saved: Snapshot) -> None:
        """Set the values of a row, its best ones and its optimizer."""
        places, single = self.network.places, self.singles[row]
        for name, value in self._state().items():
            if name not in self._best:
                self._best[name] = torch.zeros_like(value)
            flat = name == _FLAT
            value[row] = single.flat_of(places, saved.model) if flat else saved.model[name]
            self._best[name][row] = single.flat_of(places, saved.best.state) if flat else saved.best.state[name]
        self._give_state(row, single.load_optimizer(places, saved.optimizer))
        single.schedule.restore(saved.schedule)

    def _state(self) -> dict[str, Tensor]:
        """All weights and the statistics of batch norms, [K, ...]; references."""
        return {_FLAT: self.network.flat, **self.network.statistics()}

    def _columns(self, masks: Masks) -> None:
        """Make the rows [P] that say which weights decay, which are kept, and which must not be exactly 0."""
        columns = self.network.places[-1].stop
        decayed, kept, held = torch.zeros(columns), torch.ones(columns), torch.zeros(columns, dtype=torch.bool)
        for place in self.network.places:
            span = slice(place.start, place.stop)
            decayed[span] = float(place.leaf != SCALARS and len(place.shape) >= 2)
            if place.name in masks:
                mask = masks[place.name].flatten().cpu()
                kept[span], held[span] = mask.float(), mask
        self._decayed, self._kept, self._held = (row.to(self._device) for row in (decayed, kept, held))

    def _make_groups(self) -> Iterator[_Group]:
        start = 0
        for name, members in groupby(single.settings.recipe.optimizer for single in self.singles):
            rows = slice(start, start := start + len(list(members)))
            optimizer = STACKED_OPTIMIZERS[name]
            constants = constants_of([single.settings.recipe for single in self.singles[rows]])
            state = optimizer.fresh(self.network.flat.detach()[rows])
            yield _Group(rows, optimizer, constants.on(self._device), state)

    def _row_state(self, row: int) -> dict[str, Tensor]:
        group = self._group_of(row)
        return {name: value[row - group.rows.start] for name, value in group.state.items()}

    def _give_state(self, row: int, state: State) -> None:
        group = self._group_of(row)
        for name, value in group.state.items():
            value[row - group.rows.start] = state[name]

    def _group_of(self, row: int) -> _Group:
        return next(group for group in self._groups if group.rows.start <= row < group.rows.stop)
