"""Cells of the comparison of searches. Each cell is a job."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.searches.variants import VARIANTS, frugal_epochs
from benchmarks.searches.versions import read_version
from safs import data
from safs.data.tensor_split import TensorSplit
from safs.reuse.keys import code_version
from safs.spec.data import DataSpec
from safs.spec.job import JobSpec

DATA_FOLDER = ".data"
"""Folder of subsets of data sets, beside the cells' folders."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Data and numbers of epochs that all cells of a comparison share."""

    dataset: str
    """Data set without a path, or the name of an ``.npz`` file under the data root."""
    images: int
    """Number of training and validation images; 0 uses all. All test images are always used."""
    batch_size: int
    validation_fraction: float
    """Fraction of the training images that is the validation split."""
    dense_epochs: int
    """Epochs of the dense training."""
    trial_epochs: int
    """Epochs of each trial of the paper's schedule; the budgets of the other variants follow from it."""
    final_epochs: int
    """Epochs of each final training."""
    image_size: int | None = None
    """Pixels a side; None uses the architecture's nearest size."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One search with one seed."""

    variant: str
    architecture: str
    sparsity: float
    distribution: str
    seed: int

    def folder(self, scale: Scale) -> str:
        """Name of the cell's folder, from everything that identifies the cell except epochs and batch size.

        >>> scale = Scale("fashion_mnist", 0, 256, 0.1, 10, 5, 10)
        >>> Cell("paper", "lenet5", 0.99, "uniform", 2).folder(scale)
        'paper_lenet5_fashion_mnist_0.99_uniform_2'
        """
        name = scale.dataset.removesuffix(".npz")
        images = f"{name}-{scale.images}" if scale.images else name
        images += f"-{scale.image_size}px" if scale.image_size else ""
        return f"{self.variant}_{self.architecture}_{images}_{self.sparsity:g}_{self.distribution}_{self.seed}"

    def spec(self, scale: Scale, data_spec: DataSpec) -> JobSpec:
        """Spec of the cell's job. Its preset is ``paper``, so that the dense training uses the paper's recipe."""
        budget = frugal_epochs(scale.trial_epochs, scale.final_epochs)
        sections = VARIANTS[self.variant].sections(scale.trial_epochs, budget)
        prune = sections.get("prune", {})
        given: dict[str, Any] = sections | {
            "name": self.variant,
            "model": {"architecture": self.architecture},
            "data": data_spec.model_dump(),
            "sparsity": self.sparsity,
            "preset": "paper",
            "train": {"epochs": scale.dense_epochs},
            "prune": {"search": None, "distribution": self.distribution} | prune,
            "final": sections["final"] | {"epochs": scale.final_epochs - prune.get("epochs", 0)},
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
    """All cells in order: all of one seed before the next, and every variant before the next network and sparsity.

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
    """Data spec and data root of all cells. A subset of a data set is written to disk as an npz data set."""
    common = {
        "batch_size": scale.batch_size,
        "validation_fraction": scale.validation_fraction,
        "image_size": scale.image_size,
    }
    file = {"dataset": "npz", "path": scale.dataset} if scale.dataset.endswith(".npz") else {"dataset": scale.dataset}
    spec = DataSpec.model_validate({**file, **common})
    if not scale.images:
        return spec, data_root
    root = results / DATA_FOLDER
    root.mkdir(parents=True, exist_ok=True)
    name = f"{scale.dataset.removesuffix('.npz')}-{scale.images}.npz"
    if not (root / name).exists():
        whole = data.load(spec, root=data_root, channels=1, image_size=28, seed=0)
        np.savez(root / name, **_arrays(whole.train, scale.images), **_arrays(whole.test, None, "_test"))
    return DataSpec.model_validate({"dataset": "npz", "path": name, **common}), root


def _arrays(split: data.Split, count: int | None, suffix: str = "") -> dict[str, Any]:
    assert isinstance(split, TensorSplit)
    return {f"x{suffix}": split.images[:count].numpy(), f"y{suffix}": split.labels[:count].numpy()}


def done(results: Path, cells: Iterable[Cell], scale: Scale) -> set[Cell]:
    """The cells that this version of the program has measured."""
    folders = {cell: results / cell.folder(scale) for cell in cells}
    return {
        cell
        for cell, folder in folders.items()
        if (folder / "report.json").exists() and read_version(folder).code == code_version()
    }
