"""Prunable parameters, and the effect of applying masks."""

import torch
from torch import nn

from safs.metrics.sparsity import measure_sparsity
from safs.pruning.masks import apply_masks, prunable_parameters


def test_weights_of_convolutions_and_linear_layers_are_prunable_and_nothing_else():
    model = nn.Sequential(
        nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3), nn.Conv2d(2, 3, 3), nn.Conv3d(1, 1, 2), nn.Linear(4, 5)
    )

    assert list(prunable_parameters(model)) == ["0.weight", "2.weight", "3.weight", "4.weight"]


def test_of_attention_the_output_layer_is_prunable_and_the_stacked_input_weights_are_not():
    assert list(prunable_parameters(nn.MultiheadAttention(8, 2))) == ["out_proj.weight"]


def test_a_layer_alone_and_a_shared_weight_have_one_name():
    layer = nn.Linear(3, 3)

    assert list(prunable_parameters(layer)) == ["weight"]
    assert list(prunable_parameters(nn.Sequential(layer, nn.ReLU(), layer))) == ["0.weight"]


def test_pruned_weights_become_positive_zero_even_where_they_are_not_finite():
    weight = torch.tensor([-1.0, torch.nan, torch.inf, 2.0])

    apply_masks({"weight": weight}, {"weight": torch.tensor([False, False, False, True])})

    assert weight.tolist() == [0.0, 0.0, 0.0, 2.0]
    assert not torch.signbit(weight).any()


def test_kept_weights_that_are_exactly_zero_do_not_count_as_pruned():
    weight = torch.tensor([0.0, -0.0, 3.0, 4.0])

    apply_masks({"weight": weight}, {"weight": torch.tensor([True, True, True, False])})

    assert measure_sparsity({"weight": weight}, {"weight": weight.numel()}).live == 3
    assert weight[:2].tolist() == [torch.finfo(torch.float32).tiny] * 2


def test_masking_a_second_time_changes_nothing():
    weight, mask = torch.randn(50, generator=torch.Generator().manual_seed(0)), torch.arange(50) % 3 == 0
    apply_masks({"weight": weight}, {"weight": mask})
    once = weight.clone()

    apply_masks({"weight": weight}, {"weight": mask})

    assert torch.equal(weight, once)
