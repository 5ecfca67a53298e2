"""A network measured layer by layer: sparsity, gradient flow, operations, memory, and dead neurons by site."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from safs.activations.rewired import ACTIVATIONS, RewiredModel
from safs.data.features import select
from safs.data.split import Split
from safs.metrics.dead_neurons import SiteDeadNeurons, counting_dead_neurons
from safs.metrics.flops import FlopReport, count_flops
from safs.metrics.gradient_flow import GradientFlow, measure_gradient_flow
from safs.metrics.sparsity import LayerSparsity
from safs.models.form import Form
from safs.networks import Blueprint, Network, assemble
from safs.pruning.masks import prunable_parameters


@dataclass(frozen=True, slots=True)
class LayerMeasurement:
    """One prunable weight of the architecture."""

    name: str
    weights: int
    """In the architecture's own form."""
    stored: int
    """Those that are there: fewer in a smaller network, none where the layer uses another one's weights."""
    live: int
    """Those that are there and not exactly zero."""
    sparsity: float
    """1 - live / weights."""
    flops_dense: int
    """For one image, in the architecture's own form."""
    flops_sparse: int
    """For one image, of the layers that are there, times their density. A shared weight has those of all its uses."""
    bytes: int
    """Of the stored weights, zeros included."""
    gradient_norm: float | None
    """Over live weights; None where the layer uses another one's weights."""


@dataclass(frozen=True, slots=True)
class SiteMeasurement:
    """One call of an activation; dead rates are fractions of its neurons (see ``safs.metrics.dead_neurons``)."""

    path: str
    operator: str
    neurons: int
    """Elements of the site's output for one image."""
    dead_static: float
    dead_dynamic: float


@dataclass(frozen=True, slots=True)
class Totals:
    """The whole network."""

    parameters: int
    """All that are there: prunable weights, biases, norms; not the operators' scalars, three a site at most."""
    bytes: int
    """Of all tensors in the checkpoint: parameters, and buffers such as a norm's running mean; zeros included."""
    bytes_live: int
    """The same without the zeros of prunable weights; where the others are would have to be stored besides."""
    flops_dense: int
    """For one image, in the architecture's own form; also of what cannot be pruned, such as an attention's products."""
    flops_sparse: int
    gradient_norm: float
    """Over the live weights of all layers."""
    dead_static: float
    dead_dynamic: float
    """Fractions of all neurons, so that a large site counts for more than a small one; 0 where there are none."""


@dataclass(frozen=True, slots=True)
class Measurements:
    """All that is measured of a network; layers and sites in its own order."""

    layers: tuple[LayerMeasurement, ...]
    sites: tuple[SiteMeasurement, ...]
    totals: Totals


def measure(network: Network, split: Split, batch_size: int, device: str) -> Measurements:
    """Measures ``network`` on ``split``, of whole images, in one forward and backward pass over them."""
    on, inputs = torch.device(device), network.blueprint.form.inputs
    model = assemble(network).to(on)
    read = split if inputs is None else select(split, inputs)
    prunable = prunable_parameters(model)
    image = next(iter(read.batches(1, device=on)))[0]
    with counting_dead_neurons(model, image) as dead:
        gradients = measure_gradient_flow(model, prunable, read, batch_size=batch_size, device=on)
    flops = count_flops(model, prunable, image)
    dense = flops if network.blueprint.form == Form() else _own_flops(network.blueprint)
    layers = tuple(
        _layer(layer, network.state.get(layer.name), flops, dense, gradients) for layer in network.sparsity().layers
    )
    sites = dead.sites()
    return Measurements(
        layers=layers,
        sites=tuple(
            SiteMeasurement(site.path, site.operator, site.neurons, site.static, site.dynamic) for site in sites
        ),
        totals=_totals(network, model, layers, sites, (dense.dense, flops.sparse), gradients.total),
    )


def _own_flops(blueprint: Blueprint) -> FlopReport:
    """The operations of the architecture as it was before pruning, for a whole image."""
    model = replace(blueprint, form=Form()).build()
    image = torch.zeros(1, blueprint.channels, blueprint.image_size, blueprint.image_size)
    return count_flops(model, prunable_parameters(model), image)


def _layer(
    layer: LayerSparsity, weight: Tensor | None, flops: FlopReport, dense: FlopReport, gradients: GradientFlow
) -> LayerMeasurement:
    own = flops.layers.get(layer.name)
    return LayerMeasurement(
        name=layer.name,
        weights=layer.weights,
        stored=layer.stored,
        live=layer.live,
        sparsity=1 - layer.live / layer.weights,
        flops_dense=dense.layers[layer.name].dense,
        flops_sparse=0 if own is None else own.sparse,
        bytes=0 if weight is None else layer.stored * weight.element_size(),
        gradient_norm=gradients.layers.get(layer.name),
    )


def _totals(
    network: Network,
    model: RewiredModel,
    layers: Sequence[LayerMeasurement],
    sites: Sequence[SiteDeadNeurons],
    flops: tuple[int, int],
    gradient_norm: float,
) -> Totals:
    size = sum(tensor.numel() * tensor.element_size() for tensor in network.state.values())
    zeros = sum(layer.bytes // layer.stored * (layer.stored - layer.live) for layer in layers if layer.stored)
    neurons = sum(site.neurons for site in sites) or 1
    return Totals(
        parameters=sum(
            value.numel() for name, value in model.named_parameters() if not name.startswith(f"{ACTIVATIONS}.")
        ),
        bytes=size,
        bytes_live=size - zeros,
        flops_dense=flops[0],
        flops_sparse=flops[1],
        gradient_norm=gradient_norm,
        dead_static=sum(site.static * site.neurons for site in sites) / neurons,
        dead_dynamic=sum(site.dynamic * site.neurons for site in sites) / neurons,
    )
