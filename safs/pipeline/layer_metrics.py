"""Measurements of a network: sparsity, gradient flow, FLOPs and memory by layer, dead neurons by site."""

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
    """Measurements of one prunable weight of the architecture."""

    name: str
    weights: int
    """Size in the architecture's original form."""
    stored: int
    """Weights in the network's state: fewer in a smaller network, 0 if the layer shares another layer's weights."""
    live: int
    """Stored weights that are not exactly zero."""
    sparsity: float
    """1 - live / weights."""
    flops_dense: int
    """FLOPs for one image in the architecture's original form."""
    flops_sparse: int
    """FLOPs for one image in the network's own form, times the density; for a shared weight, of all its uses."""
    bytes: int
    """Bytes of the stored weights, zeros included."""
    gradient_norm: float | None
    """Norm of the gradient over the live weights; None if the layer shares another layer's weights."""


@dataclass(frozen=True, slots=True)
class SiteMeasurement:
    """Measurements of one site. Dead rates are fractions of its neurons (see ``safs.metrics.dead_neurons``)."""

    path: str
    operator: str
    neurons: int
    """Number of elements of the site's output for one image."""
    dead_static: float
    dead_dynamic: float


@dataclass(frozen=True, slots=True)
class Totals:
    """Measurements of the whole network."""

    parameters: int
    """Number of parameters: prunable weights, biases, norms; without the operators' scalars, at most three per site."""
    bytes: int
    """Bytes of all tensors in the checkpoint: parameters, and buffers such as a running mean; zeros included."""
    bytes_live: int
    """``bytes`` without the zeros of prunable weights; a sparse format would also store the positions of the others."""
    flops_dense: int
    """FLOPs for one image in the architecture's original form, including unprunable ones such as attention products."""
    flops_sparse: int
    gradient_norm: float
    """Norm of the gradient over the live weights of all layers."""
    dead_static: float
    dead_dynamic: float
    """Fraction of all neurons, so larger sites have more weight; 0 if there are no neurons."""


@dataclass(frozen=True, slots=True)
class Measurements:
    """Measurements of a network, with layers and sites in its own order."""

    layers: tuple[LayerMeasurement, ...]
    sites: tuple[SiteMeasurement, ...]
    totals: Totals


def measure(network: Network, split: Split, batch_size: int, device: str) -> Measurements:
    """Measure ``network`` on ``split``, of whole images, in one forward and backward pass over it."""
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
    """FLOPs of the architecture's original form for a whole image."""
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
