"""Counting zeros."""

import pytest
import torch

from safs.metrics.sparsity import LayerSparsity, measure_sparsity


def test_layers_and_total_count_what_is_not_exactly_zero():
    state = {
        "a": torch.tensor([[0.0, -0.0], [1e-40, 2.0]]),  # a subnormal number is not zero
        "bias": torch.zeros(9),
        "b": torch.tensor([0.0, 3.0, 0.0, 0.0]),
    }

    report = measure_sparsity(state, {"a": 4, "b": 4})

    assert report.layers == (LayerSparsity("a", 4, 2, 4), LayerSparsity("b", 4, 1, 4))
    assert (report.weights, report.live) == (8, 3)
    assert report.sparsity == pytest.approx(5 / 8)


def test_nothing_prunable_has_sparsity_zero():
    assert measure_sparsity({"bias": torch.zeros(3)}, {}).sparsity == 0.0
