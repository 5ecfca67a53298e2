"""Small result folders with pruned networks and operators whose scalars were trained."""

from collections.abc import Sequence
from pathlib import Path

import torch

from safs.activations.operators import OPERATORS
from safs.activations.surgery import find_sites
from safs.checkpoint import save
from safs.networks import Blueprint, Network
from safs.pruning.axes.distributions import live_total
from safs.pruning.masks import apply_masks, prunable_parameters
from safs.pruning.selection.choose_masks import choose_masks

LENET = Blueprint("lenet5", 1, 28, 10)


def write_result(
    folder: Path,
    blueprint: Blueprint = LENET,
    operators: Sequence[str] = ("swish", "acon"),
    sparsity: float = 0.9,
    distribution: str = "global",
) -> Path:
    """A result of ``blueprint`` whose sites get ``operators`` in turn, with scalars that are not 1."""
    model = blueprint.build(seed=0)
    _train_norms(model)
    parameters = prunable_parameters(model)
    scores = {name: weight.detach().abs() for name, weight in parameters.items()}
    live = live_total(sum(blueprint.dense_sizes().values()), sparsity)
    masks = choose_masks(scores, live, distribution=distribution, granularity="weight")
    apply_masks(parameters, masks)
    paths = [site.path for site in find_sites(model)]
    assignment = {path: operators[position % len(operators)] for position, path in enumerate(paths)}
    scalars = {
        path: {name: 0.8 + 0.15 * position for position, name in enumerate(OPERATORS[operator].scalars)}
        for path, operator in assignment.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    details = {
        "spec": {"sparsity": sparsity},
        "input": {"scale": 255.0, "mean": [0.5] * blueprint.channels, "std": [0.25] * blueprint.channels},
    }
    save(folder, Network(blueprint, dict(model.state_dict()), masks, assignment, scalars), details)
    return folder


def _train_norms(model: torch.nn.Module) -> None:
    """Give normalisations statistics and scales as training does."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor in (module.running_mean, module.running_var, module.weight, module.bias):
                assert tensor is not None
                tensor.data.uniform_(0.1, 0.9, generator=generator)
