"""The operators of one site in a stack of networks."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from safs.activations.module import Activation
from safs.training.stacked.stack import Stack, StackedLayer


class StackedActivation(StackedLayer):
    """The operators of one site; each runs once, on the networks that have it.

    The parameter ``scalars``, [K, n], holds the scalars of each network in the order of its operator's.
    """

    def __init__(self, stack: Stack, activations: Sequence[Activation]) -> None:
        super().__init__(stack)
        users: dict[Any, list[int]] = {}
        for position, activation in enumerate(activations):
            users.setdefault((activation.operator.name, activation.learns, activation.fixed_at_one), []).append(
                position
            )
        self._parts = [(activations[positions[0]], positions) for positions in users.values()]
        order = [position for positions in users.values() for position in positions]
        inverse = None if order == sorted(order) else torch.tensor(order).argsort()
        self.register_buffer("_inverse", inverse, persistent=False)
        for number, (_, positions) in enumerate(self._parts):
            self.register_buffer(f"_positions{number}", torch.tensor(positions), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B * K or B, ...] -> [B * K, ...]."""
        spread = self.stack.apart(x)
        if len(self._parts) == 1:
            return self._activate(0, spread).flatten(0, 1)
        made = torch.cat(
            [self._activate(number, self._rows(number, spread, 1)) for number in range(len(self._parts))], 1
        )
        inverse = self._buffers["_inverse"]
        return (made if inverse is None else made.index_select(1, inverse)).flatten(0, 1)

    def _activate(self, number: int, spread: Tensor) -> Tensor:
        activation = self._parts[number][0]
        operator = activation.operator
        if activation.fixed_at_one and operator.plain is not None:
            return operator.plain(spread)
        scalars = self._rows(number, self.given["scalars"], 0)
        if not activation.learns:
            scalars = scalars.detach()
        used = [scalars[:, column].view(1, -1, *[1] * (spread.dim() - 2)) for column in range(len(operator.scalars))]
        return operator.function(spread, *used)

    def _rows(self, number: int, values: Tensor, dim: int) -> Tensor:
        """The rows of ``values`` of the networks that have an operator; a view if they are neighbours."""
        positions = self._parts[number][1]
        if len(self._parts) == 1:
            return values
        if positions[-1] - positions[0] == len(positions) - 1:
            return values.narrow(dim, positions[0], len(positions))
        chosen = self._buffers[f"_positions{number}"]
        assert chosen is not None
        return values.index_select(dim, chosen)
