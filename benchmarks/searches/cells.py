"""What the comparison of searches measures: cells, each a job of the program itself."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.searches.variants import VARIANTS, frugal
from safs import data
from safs.data.tensor_split import TensorSplit
from safs.spec.job import DataSpec, JobSpec

FOLDERS = ".data"
"""Beside the cells' folders: the subsets of data sets."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What the cells of a comparison have in common: data, and how long is trained."""

    dataset: str
    images: int
    """Training and validation images; 0 is all of them. The test images are always all."""
    batch_size: int
    validation_fraction: float
    dense_epochs: int
    trial_epochs: int
    """Of each trial of the paper's schedule; the other variants' budgets follow from it."""
    final_epochs: int
    image_size: int | None = None
    """Pixels a side; None leaves it to the architecture."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A search from one seed."""

    variant: str
    architecture: str
    sparsity: float
    distribution: str
    seed: int

    def folder(self, scale: Scale) -> str:
        """Name of the cell's folder; says all that sets it apart but the epochs and the batch size.

        >>> scale = Scale("fashion_mnist", 0, 256, 0.1, 10, 5, 10)
        >>> Cell("paper", "lenet5", 0.99, "uniform", 2).folder(scale)
        'paper_lenet5_fashion_mnist_0.99_uniform_2'
        """
        images = f"{scale.dataset}-{scale.images}" if scale.images else scale.dataset
        images += f"-{scale.image_size}px" if scale.image_size else ""
        return f"{self.variant}_{self.architecture}_{images}_{self.sparsity:g}_{self.distribution}_{self.seed}"

    def spec(self, scale: Scale, data_spec: DataSpec) -> JobSpec:
        """The job; preset ``paper``, so that the dense recipe is the paper's."""
        found = VARIANTS[self.variant].sections(scale.trial_epochs, frugal(scale.trial_epochs, scale.final_epochs))
        given: dict[str, Any] = found | {
            "name": self.variant,
            "model": {"architecture": self.architecture},
            "data": data_spec.model_dump(),
            "sparsity": self.sparsity,
            "preset": "paper",
            "train": {"epochs": scale.dense_epochs},
            "prune": {"distribution": self.distribution},
            "final": found["final"] | {"epochs": scale.final_epochs},
            "seed": self.seed,
        }
        return JobSpec.model_validate(given)


def in_order(
    variants: Sequence[str],
    architectures: Sequence[str],
    sparsities: Sequence[float],
    distributions: Sequence[str],
    seeds: Sequence[int],
) -> list[Cell]:
    """All cells: a seed whole before the next, and in it a network at a sparsity by every variant.

    >>> [(one.variant, one.seed) for one in in_order(["paper", "joint-smac"], ["lenet5"], [0.99], ["uniform"], [0, 1])]
    [('paper', 0), ('joint-smac', 0), ('paper', 1), ('joint-smac', 1)]
    """
    return [
        Cell(variant, architecture, sparsity, distribution, seed)
        for seed in seeds
        for architecture in architectures
        for distribution in distributions
        for sparsity in sparsities
        for variant in variants
    ]


def prepare(scale: Scale, results: Path, data_root: Path | None) -> tuple[DataSpec, Path | None]:
    """The data of all cells and where it lies; a part of a data set is written as a data set of its own."""
    common = {
        "batch_size": scale.batch_size,
        "validation_fraction": scale.validation_fraction,
        "image_size": scale.image_size,
    }
    spec = DataSpec.model_validate({"dataset": scale.dataset, **common})
    if not scale.images:
        return spec, data_root
    root = results / FOLDERS
    root.mkdir(parents=True, exist_ok=True)
    name = f"{scale.dataset}-{scale.images}.npz"
    if not (root / name).exists():
        whole = data.load(spec, root=data_root, channels=1, image_size=28, seed=0)
        np.savez(root / name, **_arrays(whole.train, scale.images), **_arrays(whole.test, None, "_test"))
    return DataSpec.model_validate({"dataset": "npz", "path": name, **common}), root


def _arrays(split: data.Split, count: int | None, suffix: str = "") -> dict[str, Any]:
    assert isinstance(split, TensorSplit)
    return {f"x{suffix}": split.images[:count].numpy(), f"y{suffix}": split.labels[:count].numpy()}


def done(results: Path, cells: Iterable[Cell], scale: Scale) -> set[Cell]:
    """The cells that have been measured."""
    return {cell for cell in cells if (results / cell.folder(scale) / "report.json").exists()}
