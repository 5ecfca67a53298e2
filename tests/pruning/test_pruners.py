"""What every pruning method promises."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from safs.errors import SparsityError, SpecError
from safs.metrics.sparsity import measure_sparsity
from safs.pruning import DISTRIBUTIONS, PRUNERS, apply_masks, prunable_parameters
from safs.spec import PruneSpec

EVERY_COMBINATION = [(method, distribution) for method in PRUNERS for distribution in DISTRIBUTIONS]


def small_network(seed: int = 0, width: int = 7) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, width, 3),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(width * 36, 13),
        nn.Linear(13, 10),
    )


@pytest.mark.parametrize(("method", "distribution"), EVERY_COMBINATION)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 5), width=st.integers(1, 9), sparsity=st.floats(0, 0.95))
def test_the_saved_weights_have_exactly_the_sparsity_asked_for(method, distribution, seed, width, sparsity):
    model, spec = small_network(seed, width), PruneSpec(method=method, distribution=distribution)
    parameters = prunable_parameters(model)
    total = sum(parameter.numel() for parameter in parameters.values())
    try:
        masks = PRUNERS[method].prune(model, sparsity, spec)
    except SparsityError:
        assert distribution == "uniform"
        return

    apply_masks(parameters, masks)

    report = measure_sparsity(model.state_dict(), parameters)
    assert report.weights - report.live == round(sparsity * total)
    assert all(layer.live >= 1 for layer in report.layers)


@pytest.mark.parametrize(("method", "distribution"), EVERY_COMBINATION)
def test_pruning_repeats_itself_and_leaves_the_model_alone(method, distribution):
    model, spec = small_network(), PruneSpec(method=method, distribution=distribution)
    before = copy.deepcopy(model.state_dict())

    first = PRUNERS[method].prune(model, 0.9, spec)
    second = PRUNERS[method].prune(model, 0.9, spec)

    assert first.keys() == prunable_parameters(model).keys()
    assert all(mask.dtype == torch.bool and torch.equal(mask, second[name]) for name, mask in first.items())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(("method", "distribution"), EVERY_COMBINATION)
def test_a_network_full_of_ties_is_pruned_to_the_single_weight(method, distribution):
    model = small_network()
    with torch.no_grad():
        for parameter in prunable_parameters(model).values():
            parameter.fill_(0.5)

    masks = PRUNERS[method].prune(model, 0.9, PruneSpec(method=method, distribution=distribution))

    total = sum(mask.numel() for mask in masks.values())
    assert sum(int(mask.sum()) for mask in masks.values()) == total - round(0.9 * total)


@pytest.mark.parametrize(("method", "distribution"), EVERY_COMBINATION)
def test_weights_that_are_zero_already_are_pruned_first_and_counted_right(method, distribution):
    model = small_network()
    parameters = prunable_parameters(model)
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.view(-1)[::2] = 0.0

    masks = PRUNERS[method].prune(model, 0.3, PruneSpec(method=method, distribution=distribution))
    nonzero_kept = all(bool(masks[name][parameter != 0].all()) for name, parameter in parameters.items())
    apply_masks(parameters, masks)

    report = measure_sparsity(model.state_dict(), parameters)
    assert report.weights - report.live == round(0.3 * report.weights)
    assert nonzero_kept or distribution == "erk"  # ERK may ask a large layer for more than its zeros.


@pytest.mark.parametrize(("method", "distribution"), EVERY_COMBINATION)
def test_check_refuses_what_prune_refuses(method, distribution):
    model, spec = small_network(), PruneSpec(method=method, distribution=distribution)
    shapes = {name: parameter.shape for name, parameter in prunable_parameters(model).items()}

    with pytest.raises(SparsityError) as from_check:
        PRUNERS[method].check(shapes, 0.9999, spec)
    with pytest.raises(SparsityError) as from_prune:
        PRUNERS[method].prune(model, 0.9999, spec)

    assert str(from_check.value) == str(from_prune.value)


@pytest.mark.parametrize("method", PRUNERS)
def test_an_option_that_does_not_exist_is_refused(method):
    spec = PruneSpec(method=method, options={"no_such_option": 1})

    with pytest.raises(SpecError, match="no_such_option") as caught:
        PRUNERS[method].check({"weight": torch.Size([10, 10])}, 0.5, spec)

    assert caught.value.field == "prune.options"
