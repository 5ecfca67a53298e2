"""A stack of networks of one architecture, which differ in their operators, as one module."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from safs.activations.module import Activation
from safs.activations.rewired import ACTIVATIONS, RewiredModel
from safs.training.stacked.activation import StackedActivation
from safs.training.stacked.layers import StackedBatchNorm, stacked_layer
from safs.training.stacked.stack import NotStackable, Stack, StackedLayer, split

SCALARS = "scalars"


@dataclass(frozen=True, slots=True)
class Place:
    """A parameter of the network, and its columns in the matrix of all parameters."""

    name: str
    """Name in the network; ``<site>.scalars`` for the scalars of a site."""
    layer: str
    """Path of its layer."""
    leaf: str
    shape: tuple[int, ...]
    start: int
    stop: int


class StackedNetwork(nn.Module):
    """K networks of one architecture as one module.

    ``flat``, [K, P], is the only parameter: row k holds all parameters of network k. Gradients, moments and masks have
    its shape, so a step of an optimizer is a few operations for all networks and all of their parameters.

    Args:
        models: rewired copies of one model, on the CPU; their values are copied.

    Raises:
        NotStackable: a layer cannot be stacked.
    """

    def __init__(self, models: Sequence[RewiredModel]) -> None:
        super().__init__()
        self._stack = Stack(len(models))
        root = deepcopy(models[0])
        layers = [dict(model.named_modules(remove_duplicate=False)) for model in models]
        self.places: tuple[Place, ...] = tuple(self._replace_layers(root, layers))
        _check_all_are_held(models[0], self.places)
        self._sizes = [place.stop - place.start for place in self.places]
        self.flat = nn.Parameter(torch.stack([self._row_of(model) for model in models]))
        self._root = root
        self._holders: list[tuple[StackedLayer, Place]] = []
        for place in self.places:
            holder = root.get_submodule(place.layer)
            assert isinstance(holder, StackedLayer)
            self._holders.append((holder, place))

    @property
    def size(self) -> int:
        """Number of networks."""
        return self._stack.size

    def forward(self, images: Tensor) -> Tensor:
        """[B, channels, height, width] -> logits [B, K, classes]."""
        self._stack.batch = len(images)
        for (holder, place), values in zip(self._holders, self.flat.split(self._sizes, dim=1), strict=True):
            holder.given[place.leaf] = split(values, 1, place.shape)
        logits: Tensor = self._root(images)
        return self._stack.apart(logits)

    def statistics(self) -> dict[str, Tensor]:
        """The buffers of all batch norms by their names in the network, [K, ...]; references."""
        return {
            f"{path}.{name}": values
            for path, layer in self._root.named_modules()
            if isinstance(layer, StackedBatchNorm)
            for name, values in layer.named_buffers()
        }

    def _replace_layers(self, root: RewiredModel, layers: Sequence[dict[str, nn.Module]]) -> Iterator[Place]:
        start = 0
        paths = [path for path, module in root.named_modules() if _is_layer(module)]
        for path in paths:
            same = [modules[path] for modules in layers]
            made = stacked_layer(self._stack, same, path)
            if not isinstance(made, StackedLayer):
                continue
            owner, _, leaf = path.rpartition(".")
            root.get_submodule(owner).register_module(leaf, made)
            for name, shape in _parameters_of(made, same).items():
                stop = start + torch.Size(shape).numel()
                yield Place(f"{path}.{name}", path, name, shape, start, stop)
                start = stop

    def _row_of(self, model: RewiredModel) -> Tensor:
        row = torch.zeros(self.places[-1].stop)
        for place in self.places:
            values = [parameter.detach().flatten() for _, parameter in parameters_of(model, place)]
            if values:
                together = torch.cat(values)
                row[place.start : place.start + len(together)] = together
        return row


def parameters_of(model: RewiredModel, place: Place) -> list[tuple[str, nn.Parameter]]:
    """Name and parameter of a single network, of a weight, or of each scalar in the order of a site's columns."""
    if place.leaf != SCALARS:
        return [(place.name, model.get_parameter(place.name))]
    activation = model.get_submodule(place.layer)
    assert isinstance(activation, Activation)
    return [(f"{place.layer}.{name}", activation.get_parameter(name)) for name in activation.operator.scalars]


def check_outputs(models: Sequence[RewiredModel], images: Tensor) -> None:
    """Compare the outputs of the first and the last network with those of a stack of both, in train and in eval mode.

    Raises:
        NotStackable: they differ, because the network does not treat the images of a batch one by one.
    """
    pair = [deepcopy(models[0]), deepcopy(models[-1])]
    for training in (False, True):
        stacked = StackedNetwork(pair).train(training)
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            try:
                together = stacked(images)
            except (RuntimeError, AttributeError, IndexError, TypeError, ValueError) as error:
                reason = str(error).partition("\n")[0]
                raise NotStackable(f"a stack of the network cannot be run: {reason}") from error
            for position, model in enumerate(pair):
                torch.default_generator.manual_seed(0)
                alone = model.train(training)(images)
                if together.shape[2:] != alone.shape[1:] or not _close(together[:, position], alone):
                    raise NotStackable("a stack of the network gives other outputs than the network alone")


def _close(one: Tensor, other: Tensor) -> bool:
    scale = other.abs().nan_to_num().max().clamp(min=1.0)
    return torch.allclose(one / scale, other / scale, rtol=0.0, atol=1e-3, equal_nan=True)


def _is_layer(module: nn.Module) -> bool:
    """True for modules that a graph calls as a whole."""
    return isinstance(module, Activation) or not any(True for _ in module.children())


def _parameters_of(layer: StackedLayer, layers: Sequence[nn.Module]) -> dict[str, tuple[int, ...]]:
    """Name -> shape in one network, of the parameters that a stacked layer reads."""
    if isinstance(layer, StackedActivation):
        most = max(len(module.operator.scalars) for module in layers if isinstance(module, Activation))
        return {SCALARS: (most,)}
    return {name: tuple(parameter.shape) for name, parameter in layers[0].named_parameters()}


def _check_all_are_held(model: RewiredModel, places: Sequence[Place]) -> None:
    held = {place.name for place in places}
    names = [name for name, _ in model.named_parameters(remove_duplicate=False) if not name.startswith(ACTIVATIONS)]
    for name in names:
        if name not in held:
            raise NotStackable(f"the parameter {name} belongs to no layer that can be stacked")
    for tensors in (model.named_parameters, model.named_buffers):
        if len(list(tensors(remove_duplicate=False))) != len(list(tensors())):
            raise NotStackable("layers share their weights, which cannot be stacked")
    if not all(parameter.requires_grad for name, parameter in model.named_parameters() if name in held):
        raise NotStackable("some weights are frozen, which cannot be stacked")
