"""Costs from live weights, against figures worked by hand and against what is measured on real networks."""

import torch
from torch import nn

from safs.metrics.flops import count_flops
from safs.pruning.masks import prunable_parameters
from safs.targets.costs import live_in, shape_of


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 64, 10))


def test_operations_are_those_of_each_layer_times_its_density() -> None:
    shape = shape_of(_network(), torch.zeros(1, 1, 8, 8))

    # A multiplication and an addition for each of 36 weights at 64 places, and for each of 2,560 weights.
    assert dict(shape.flops) == {"0.weight": 2 * 36 * 64, "3.weight": 2 * 2560}
    assert shape.flops_left({"0.weight": 18, "3.weight": 256}) == (36 * 64 + 512) / (2 * 36 * 64 + 2 * 2560)


def test_the_meta_device_counts_the_same_operations() -> None:
    network = _network()

    real = shape_of(network, torch.zeros(1, 1, 8, 8))
    meta = shape_of(network.to("meta"), torch.zeros(1, 1, 8, 8, device="meta"))

    assert meta == real


def test_estimated_operations_are_those_counted_on_the_pruned_network() -> None:
    network = _network()
    prunable = prunable_parameters(network)
    masks = {name: torch.rand(weight.shape) < 0.3 for name, weight in prunable.items()}
    shape = shape_of(network, torch.zeros(1, 1, 8, 8))

    with torch.no_grad():
        for name, mask in masks.items():
            prunable[name].mul_(mask)
    counted = count_flops(network, prunable, torch.zeros(1, 1, 8, 8))

    assert abs(shape.flops_left(live_in(masks)) - counted.sparse / counted.dense) < 1e-3
