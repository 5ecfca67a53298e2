"""The activation of one site: an operator with its scalars."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from safs.activations.operators import Operator
from safs.errors import UnknownNameError


class Activation(nn.Module):
    """An operator with its scalars, which are 0-dimensional parameters under the names that the operator gives.

    Scalars start at ``values``, else where the operator says, else at 1. They are learned if ``learnable`` is True or
    the operator always learns them.
    While all of them are fixed at 1, the operator's plain form runs.
    """

    def __init__(
        self, operator: Operator, *, learnable: bool = False, values: Mapping[str, float] | None = None
    ) -> None:
        super().__init__()
        self.operator = operator
        self.learns = learnable or operator.always_trainable
        values = values or {}
        for name in values:
            if name not in operator.scalars:
                raise UnknownNameError(f"scalar of operator {operator.name}", name, operator.scalars)
        for name in operator.scalars:
            start = torch.tensor(float(values.get(name, operator.start.get(name, 1.0))))
            self.register_parameter(name, nn.Parameter(start, requires_grad=self.learns))
        self._fixed_at_one = not self.learns and all(value == 1.0 for value in values.values())

    def forward(self, x: Tensor) -> Tensor:
        """Apply the operator to ``x``, of any shape and float dtype."""
        if self._fixed_at_one and self.operator.plain is not None:
            return self.operator.plain(x)
        return self.operator.function(x, *(self._parameters[name] for name in self.operator.scalars))

    @property
    def fixed_at_one(self) -> bool:
        """True if all scalars are fixed at 1, so that the operator's plain form runs if it has one."""
        return self._fixed_at_one

    def scalars(self) -> dict[str, float]:
        """Current values of the scalars, by name; one host sync for each."""
        return {name: float(value.detach()) for name, value in self.named_parameters(recurse=False)}

    def extra_repr(self) -> str:
        return f"{self.operator.name}, learns={self.learns}"

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        """Load the scalars, and check here if the plain form applies, since forward would sync with the device."""
        super()._load_from_state_dict(*args, **kwargs)
        self._fixed_at_one = not self.learns and all(value == 1.0 for value in self.scalars().values())
