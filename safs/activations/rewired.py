"""A model with replaced activation calls."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn
from torch.fx import Graph

from safs.activations.module import Activation
from safs.errors import SurgeryError
from safs.graphs import GraphForward

ACTIVATIONS = "_safs_activations"
"""The only name that a rewired model adds to the names of the model."""


class RewiredModel(nn.Module):
    """A model's parameters and buffers under the same names, with a new forward for train mode and for eval mode.

    ``surgery.rewire`` makes it. The children, parameters and buffers are shared with the model, so a change in one
    shows in the other. The state dict adds the operators' scalars under ``_safs_activations``.
    """

    def __init__(
        self,
        model: nn.Module,
        eval_graph: Graph,
        train_graph: Graph,
        activations: Mapping[str, nn.Module],
        constants: Mapping[str, Tensor],
    ) -> None:
        super().__init__()
        _share(model, self)
        for name, constant in constants.items():
            self.register_buffer(name, constant, persistent=False)
        self.add_module(ACTIVATIONS, nn.ModuleList(activations.values()))
        self._site_paths = tuple(activations)
        self._eval_forward = GraphForward.of(eval_graph, f"{type(model).__name__} in eval mode")
        self._train_forward = GraphForward.of(train_graph, f"{type(model).__name__} in train mode")
        self.training = model.training

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Take the arguments of the model's forward, and return the same type."""
        return self._graph_forward(self, *args, **kwargs)

    @property
    def _graph_forward(self) -> GraphForward:
        return self._train_forward if self.training else self._eval_forward

    @property
    def activations(self) -> Mapping[str, nn.Module]:
        """Site path -> its ``Activation``, or the module given to ``rewire``, in the order of the calls."""
        modules = self._modules[ACTIVATIONS]
        assert isinstance(modules, nn.ModuleList)
        return MappingProxyType(dict(zip(self._site_paths, modules, strict=True)))

    def scalars(self) -> dict[str, dict[str, float]]:
        """Site path -> scalar name -> current value, for every ``Activation``."""
        return {
            path: activation.scalars()
            for path, activation in self.activations.items()
            if isinstance(activation, Activation)
        }

    def activation_parameters(self) -> list[nn.Parameter]:
        """Parameters of the sites. Exempt them from weight decay, which would pull scalars from 1 to 0."""
        return [parameter for activation in self.activations.values() for parameter in activation.parameters()]

    def model_state(self) -> dict[str, Tensor]:
        """The state dict without the operators' scalars, under the model's names. Values are references."""
        return {name: value for name, value in self.state_dict().items() if not name.startswith(f"{ACTIVATIONS}.")}

    def load_model_state(self, state: Mapping[str, Tensor]) -> None:
        """Load a state dict of the model, and keep the operators' scalars.

        Raises:
            RuntimeError: the names or shapes are not the model's.
        """
        scalars = {name: value for name, value in self.state_dict().items() if name.startswith(f"{ACTIVATIONS}.")}
        self.load_state_dict({**state, **scalars})


class SingleInputModel(RewiredModel):
    """A rewired model that takes one argument, which ``torch.export`` and torch.fx need in the signature."""

    def forward(self, x: Any) -> Any:
        """Take the only argument of the model's forward, and return the same type."""
        return self._graph_forward(self, x)


def _share(model: nn.Module, rewired: nn.Module) -> None:
    for name in (*model._parameters, *model._buffers, *model._modules):
        if name == ACTIVATIONS or hasattr(RewiredModel, name):
            raise SurgeryError(
                f"model {type(model).__name__} has a member named {name!r}, a name that rewiring needs; rename it"
            )
    for name, parameter in model._parameters.items():
        rewired.register_parameter(name, parameter)
    for name, buffer in model._buffers.items():
        rewired.register_buffer(name, buffer, persistent=name not in model._non_persistent_buffers_set)
    for name, child in model._modules.items():
        rewired.add_module(name, child)
