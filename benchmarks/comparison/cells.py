"""Cells of the comparison of pruning methods. Each cell is a method at a sparsity with a seed.

All cells of a seed start from the same dense network, and all train the same number of epochs:

    method                          dense   pruning             fine-tuning
    trains while it prunes          D       P                   F
    prunes in one shot              D       0                   P + F
    starts from new weights         0       D + P               F
    ``dense``, the baseline         D       none                P + F
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, TypeAlias

import torch

from safs.pruning.pruners import PRUNERS
from safs.spec.pruning import PruneSpec

DENSE = "dense"
"""Row of the network that is not pruned, trained for as many epochs as the others."""
OTHER_ROWS: dict[str, dict[str, Any]] = {
    "magnitude-iterative": {"method": "magnitude", "schedule": "iterative"},
    "magnitude-cubic": {"method": "magnitude", "schedule": "cubic"},
    "magnitude-erk": {"method": "magnitude", "distribution": "erk"},
    "magnitude-filters": {"method": "magnitude", "granularity": "filter"},
    "greg1-linear": {"method": "greg1", "options": {"growth": "linear"}},
    "greg2-linear": {"method": "greg2", "options": {"growth": "linear"}},
    "greg1-filters": {"method": "greg1", "granularity": "filter"},
}
"""Rows besides every method with its defaults: name -> the job's ``prune`` section."""

MAX_ROUNDS = 5
"""Largest number of rounds of iterative methods; with fewer epochs, each epoch is a round."""

Record: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that cells must share to be compared."""

    architecture: str
    images: int
    """Number of training and validation images; 0 uses all."""
    batch_size: int
    dense_epochs: int
    """Epochs of the dense training."""
    prune_epochs: int
    """Epochs of pruning; fine-tuning gets them if a method prunes in one shot."""
    final_epochs: int
    """Epochs of fine-tuning."""
    device: str
    safs: str
    """Version of safs-service."""
    torch: str
    """Version of torch."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One measurement; ``row`` is a method's name, ``dense``, or one of ``OTHER_ROWS``."""

    row: str
    sparsity: float
    seed: int
    search: tuple[int, int] | None = None
    """(trials, epochs of each trial) of both stages of a SAFS search; None measures the default protocol only."""


def versions() -> tuple[str, str]:
    """Versions of safs-service and torch."""
    return version("safs-service"), torch.__version__


def rows() -> dict[str, dict[str, Any]]:
    """Row -> ``prune`` section: every method with its defaults, then the ``OTHER_ROWS`` of registered methods."""
    others = {row: section for row, section in OTHER_ROWS.items() if section["method"] in PRUNERS}
    return {name: {"method": name} for name in PRUNERS} | others


def in_order(
    names: Sequence[str], sparsities: Sequence[float], seeds: Sequence[int], search: tuple[int, int] | None
) -> list[Cell]:
    """All cells in order: all of one sparsity before the next, so that an incomplete run is useful.

    The dense network, which has no sparsity, comes first.

    >>> [(cell.row, cell.sparsity, cell.seed) for cell in in_order(["dense", "ap"], [0.99, 0.9], [0, 1], None)][:4]
    [('dense', 0.0, 0), ('dense', 0.0, 1), ('ap', 0.99, 0), ('ap', 0.99, 1)]
    """
    pruned = [name for name in names if name != DENSE]
    cells = [Cell(DENSE, 0.0, seed) for seed in seeds if DENSE in names]
    return cells + [Cell(row, one, seed, search) for one in sparsities for seed in seeds for row in pruned]


def key_of(settings: Settings, cell: Cell) -> Record:
    """Key of a measurement, equal to itself after a round trip through JSON."""
    search = None if cell.search is None else list(cell.search)
    return {"settings": asdict(settings), **asdict(cell), "search": search}


def prune_section(row: str, settings: Settings) -> tuple[dict[str, Any], int]:
    """The ``prune`` section of a row with its epochs, and the remaining epochs of fine-tuning."""
    section = dict(rows()[row])
    spec = PruneSpec(**section)
    if spec.schedule == "one_shot":
        return section | {"epochs": 0}, settings.prune_epochs + settings.final_epochs
    fresh = settings.dense_epochs if PRUNERS[spec.method].from_scratch else 0
    section["epochs"] = settings.prune_epochs + fresh
    if spec.schedule == "iterative" and spec.method != "ap":  # AP's rounds follow from the sparsity and the epochs.
        section["options"] = {"rounds": min(settings.prune_epochs, MAX_ROUNDS)}
    return section, settings.final_epochs
