"""Accuracy right after one-shot pruning, with the dense network's batch norm statistics and with new ones.

    python -m benchmarks.batch_norm                       ResNet-20 on digits, four sparsities, 3 seeds
    python -m benchmarks.batch_norm --architecture mlp --seeds 0

The pruned network is scored on validation images before any fine-tuning, once with the running means and variances of
the dense network, and once with those of a few batches through the pruned network, as every pruning of a job leaves
them (Li et al., "EagleEye", 2020, arXiv:2007.02491).
"""

import argparse
from dataclasses import replace
from statistics import fmean, stdev

import torch
from torch import Tensor

from benchmarks.pruned_starts import ADAM, BATCH, DENSE_EPOCHS
from benchmarks.trainings import do, network_of
from safs import data
from safs.execution.pruning import Pruning
from safs.execution.training import Training, score
from safs.execution.work import Context
from safs.networks import Blueprint, Network
from safs.spec.data import DataSpec
from safs.spec.pruning import PruneSpec
from safs.training.settings import TrainingData

SPARSITIES = (0.5, 0.7, 0.8, 0.9)


def main() -> None:
    """Print a Markdown table."""
    arguments = _arguments()
    torch.set_num_threads(1)
    accuracies = [_accuracies(arguments.architecture, arguments.image_size, seed) for seed in arguments.seeds]
    print(f"| {arguments.architecture}, digits | statistics of the dense network | new statistics |\n|---|---|---|")
    for row, sparsity in enumerate(SPARSITIES):
        kept, new = ([one[row][column] for one in accuracies] for column in (0, 1))
        print(f"| {sparsity:.0%} | {_mean(kept)} | {_mean(new)} |")


def with_statistics(pruned: Network, dense: dict[str, Tensor]) -> Network:
    """The pruned network with the running means and variances of the state ``dense``."""
    statistics = {name: one for name, one in dense.items() if name.endswith(("running_mean", "running_var"))}
    return replace(pruned, state={**pruned.state, **statistics})


def _accuracies(architecture: str, image_size: int, seed: int) -> list[tuple[float, float]]:
    """(with the dense statistics, with new ones) for each sparsity."""
    spec = DataSpec(dataset="digits", validation_fraction=0.2)
    splits = data.load(spec, root=None, channels=1, image_size=image_size, seed=seed)
    blueprint = Blueprint(architecture, 1, image_size, splits.classes)
    context = Context(blueprint, TrainingData(splits.train, splits.validation, BATCH))
    dense = network_of(do(Training({}, ADAM, DENSE_EPOCHS, seed), context))
    found = []
    for sparsity in SPARSITIES:
        pruned = network_of(do(Pruning(PruneSpec(), sparsity, ADAM, seed), replace(context, start=dense.state)))
        both = (with_statistics(pruned, dict(dense.state)), pruned)
        kept, new = (score(network, splits.validation, 256, "cpu").accuracy for network in both)
        found.append((kept, new))
    return found


def _mean(values: list[float]) -> str:
    return f"{100 * fmean(values):.1f}" + (f" ± {100 * stdev(values):.1f}" if len(values) > 1 else "")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--architecture", default="resnet20", help="network with batch norm (default: resnet20)")
    add("--image-size", type=int, default=8, help="pixels a side (default: 8)")
    add("--seeds", nargs="+", type=int, default=[0, 1, 2], help="seeds (default: 0 1 2)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
