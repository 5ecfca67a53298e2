"""One site's activation: an operator with its scalars."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from safs.activations.operators import Operator
from safs.errors import UnknownNameError


class Activation(nn.Module):
    """Applies an operator; its scalars are 0-dimensional parameters named as the operator names them.

    They learn if ``learnable`` is set or the operator always learns; ``values`` are their starts (default 1).
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
            start = torch.tensor(float(values.get(name, 1.0)))
            self.register_parameter(name, nn.Parameter(start, requires_grad=self.learns))
        self._fixed_at_one = not self.learns and all(value == 1.0 for value in values.values())

    def forward(self, x: Tensor) -> Tensor:
        """The operator's value at ``x``, of any shape and float dtype."""
        if self._fixed_at_one and self.operator.plain is not None:
            return self.operator.plain(x)
        return self.operator.function(x, *(self._parameters[name] for name in self.operator.scalars))

    def scalars(self) -> dict[str, float]:
        """The scalars' present values; one host sync each."""
        return {name: float(value.detach()) for name, value in self.named_parameters(recurse=False)}

    def extra_repr(self) -> str:
        return f"{self.operator.name}, learns={self.learns}"

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        """Also looks whether a loaded scalar ended the plain form; forward cannot, that would sync with the device."""
        super()._load_from_state_dict(*args, **kwargs)
        self._fixed_at_one = not self.learns and all(value == 1.0 for value in self.scalars().values())
