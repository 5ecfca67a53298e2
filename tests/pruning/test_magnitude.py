"""Magnitude pruning, against numbers worked by hand and against torch's own pruning."""

import torch
from torch import nn
from torch.nn.utils import prune as torch_prune

from safs.pruning.magnitude import keep_largest, keep_largest_overall, prune
from safs.spec import PruneSpec


def test_of_equal_scores_the_first_ones_go():
    kept = keep_largest(torch.tensor([1.0, 1.0, 0.5, 1.0, 2.0]), live=3)

    assert kept.tolist() == [False, True, False, True, True]


def test_one_threshold_is_shared_by_all_layers():
    scores = {"a": torch.tensor([[1.0, 4.0]]), "b": torch.tensor([2.0, 3.0, 5.0])}

    masks = keep_largest_overall(scores, live=3)

    assert masks["a"].tolist() == [[False, True]]
    assert masks["b"].tolist() == [False, True, True]


def test_a_layer_of_small_weights_keeps_its_largest_and_another_pays_for_it():
    scores = {"small": torch.tensor([0.1, 0.3, 0.2]), "large": torch.tensor([7.0, 8.0, 9.0])}

    masks = keep_largest_overall(scores, live=3)

    assert masks["small"].tolist() == [False, True, False]
    assert masks["large"].tolist() == [False, True, True]


def test_a_layer_of_equal_weights_protects_one_alone():
    masks = keep_largest_overall({"equal": torch.ones(4), "other": torch.full((4,), 2.0)}, live=5)

    assert masks["equal"].tolist() == [True, False, False, False]
    assert masks["other"].all()


def test_uniform_keeps_what_torchs_l1_unstructured_keeps():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(40, 30))  # 216 and 1200 weights: 0.75 leaves no rounding

    masks = prune(model, 0.75, PruneSpec(distribution="uniform"))

    for name, mask in masks.items():
        layer = model.get_submodule(name.removesuffix(".weight"))
        torch_prune.l1_unstructured(layer, "weight", amount=0.75)
        assert torch.equal(mask, layer.weight_mask.bool())


def test_global_keeps_what_torchs_global_pruning_keeps():
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(40, 30))

    masks = prune(model, 0.9, PruneSpec(distribution="global"))

    torch_prune.global_unstructured(
        [(model[0], "weight"), (model[1], "weight")], pruning_method=torch_prune.L1Unstructured, amount=0.9
    )
    assert torch.equal(masks["0.weight"], model[0].weight_mask.bool())
    assert torch.equal(masks["1.weight"], model[1].weight_mask.bool())
