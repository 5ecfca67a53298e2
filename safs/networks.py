"""The network of a job in one state, as a value that travels between processes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from safs import models
from safs.activations.surgery import RewiredModel, SingleInputModel, rewire
from safs.metrics.sparsity import SparsityReport, measure_sparsity
from safs.models.declared import Declaration
from safs.models.form import Form, apply_form
from safs.models.weights import copy_state
from safs.pruning.masks import Masks, prunable_parameters

OWN_NETWORK = "network/"
"""Prefix of the architecture's name of a network that a user brought."""
Assignment = dict[str, str]
"""Site path -> operator name; a site without an entry keeps its own activation."""
Scalars = dict[str, dict[str, float]]
"""Site path -> scalar name (alpha, beta, ...) -> value."""


@dataclass(frozen=True, slots=True)
class Blueprint:
    """Recipe for building the network, without its weights."""

    architecture: str
    channels: int
    image_size: int
    classes: int
    form: Form = field(default_factory=Form)
    """Changes that pruning made to the architecture: narrower layers, fewer inputs, tied weights."""
    declared: Declaration | None = None
    """The graph of a network that a user brought, or of a named one that torch.fx cannot trace; None builds by name."""

    @property
    def identity(self) -> str:
        """Key of the architecture: its name, or the hash of an own network's document."""
        if self.declared is None or not self.architecture.startswith(OWN_NETWORK):
            return self.architecture
        return f"{OWN_NETWORK}{self.declared.digest}"

    def build(self, seed: int | None = None, *, state: Mapping[str, Tensor] | None = None) -> nn.Module:
        """Build the network with the weights of ``state``, or with fresh weights drawn from ``seed``.

        Raises:
            WeightsError: ``state`` has other names or shapes than this network.
        """
        model = self._fresh(seed, with_weights=state is None)
        apply_form(self.form, model)
        if state is not None:
            copy_state(state, model)
        return model

    def _fresh(self, seed: int | None, *, with_weights: bool) -> nn.Module:
        named = not self.architecture.startswith(OWN_NETWORK)
        if self.declared is None:
            return self._by_name(seed)
        with torch.random.fork_rng(devices=[], enabled=seed is not None):
            if seed is not None:
                torch.default_generator.manual_seed(seed)
            model = self.declared.build()
        if named and with_weights and torch.get_default_device().type != "meta":
            copy_state(self._by_name(seed).state_dict(), model)  # the architecture's own initialisation
        return model

    def _by_name(self, seed: int | None) -> nn.Module:
        return models.build(
            self.architecture, channels=self.channels, classes=self.classes, image_size=self.image_size, seed=seed
        )

    def dense_sizes(self) -> dict[str, int]:
        """Prunable weight -> its size in the architecture's own form; sparsity is a fraction of their sum."""
        with torch.device("meta"):
            dense = replace(self, form=Form()).build()
        return {name: parameter.numel() for name, parameter in prunable_parameters(dense).items()}


@dataclass(frozen=True, slots=True)
class Network:
    """The network in one state: blueprint, weights under the model's own names, operators, and their scalars."""

    blueprint: Blueprint
    state: Mapping[str, Tensor]
    masks: Masks | None = None
    """Masks of all prunable weights; None if nothing was pruned."""
    assignment: Assignment = field(default_factory=dict)
    scalars: Scalars = field(default_factory=dict)

    def sparsity(self) -> SparsityReport:
        """Live weights by layer, as fractions of the architecture's own."""
        return measure_sparsity(self.state, self.blueprint.dense_sizes())


def assemble(network: Network) -> RewiredModel:
    """Build the network as a module: weights loaded, operators in place, in eval mode.

    The module takes images reduced to ``network.blueprint.form.inputs`` (see ``safs.data.features.select``).

    Raises:
        UnknownNameError: the assignment names a site or an operator that this architecture does not have.
        WeightsError: the state does not fit the architecture.
    """
    model = network.blueprint.build(state=network.state)
    return rewire(model, network.assignment, scalars=network.scalars, kind=SingleInputModel).eval()
