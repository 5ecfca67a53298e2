"""What the comparison of pruning methods measures: cells, each a method at a sparsity from a seed.

All cells of a seed start from the same dense network, and all spend the same epochs:

    method                          dense   pruning             fine-tuning
    trains while it prunes          D       P                   F
    prunes at once                  D       0                   P + F
    starts from fresh weights       0       D + P               F
    ``dense``, the row to compare   D       none                P + F
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, TypeAlias

import torch

from safs.pruning.pruners import PRUNERS
from safs.spec.job import PruneSpec

DENSE = "dense"
"""The row of the network that is not pruned, trained for as long as the others."""
OTHER_ROWS: dict[str, dict[str, Any]] = {
    "magnitude-iterative": {"method": "magnitude", "schedule": "iterative"},
    "magnitude-cubic": {"method": "magnitude", "schedule": "cubic"},
    "magnitude-erk": {"method": "magnitude", "distribution": "erk"},
    "magnitude-filters": {"method": "magnitude", "granularity": "filter"},
    "greg1-filters": {"method": "greg1", "granularity": "filter"},
}
"""Rows beside those of every method as it is: name -> the job's ``prune`` section."""

MOST_ROUNDS = 5
"""Of iterative methods; with fewer epochs there is a round for each."""

Record: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Settings:
    """What cells must have in common to be compared."""

    architecture: str
    images: int
    """Training and validation images; 0 is all of them."""
    batch_size: int
    dense_epochs: int
    prune_epochs: int
    final_epochs: int
    device: str
    safs: str
    torch: str


@dataclass(frozen=True, slots=True)
class Cell:
    """One measurement; ``row`` is a method's name, ``dense``, or one of ``OTHER_ROWS``."""

    row: str
    sparsity: float
    seed: int
    search: tuple[int, int] | None = None
    """Trials, and epochs of each, of both stages of a SAFS search; None measures the default protocol alone."""


def versions() -> tuple[str, str]:
    """Of safs and torch."""
    return version("safs-service"), torch.__version__


def rows() -> dict[str, dict[str, Any]]:
    """Row -> ``prune`` section: every method as it is, then ``OTHER_ROWS`` of the methods that there are."""
    others = {row: section for row, section in OTHER_ROWS.items() if section["method"] in PRUNERS}
    return {name: {"method": name} for name in PRUNERS} | others


def in_order(
    names: Sequence[str], sparsities: Sequence[float], seeds: Sequence[int], search: tuple[int, int] | None
) -> list[Cell]:
    """All cells, the first sparsity whole before the second is begun, so that a part of the run is of use.

    The dense network, which has no sparsity, comes first.

    >>> [(cell.row, cell.sparsity, cell.seed) for cell in in_order(["dense", "ap"], [0.99, 0.9], [0, 1], None)][:4]
    [('dense', 0.0, 0), ('dense', 0.0, 1), ('ap', 0.99, 0), ('ap', 0.99, 1)]
    """
    pruned = [name for name in names if name != DENSE]
    cells = [Cell(DENSE, 0.0, seed) for seed in seeds if DENSE in names]
    return cells + [Cell(row, one, seed, search) for one in sparsities for seed in seeds for row in pruned]


def key_of(settings: Settings, cell: Cell) -> Record:
    """What says that two measurements are the same, as JSON has it."""
    search = None if cell.search is None else list(cell.search)
    return {"settings": asdict(settings), **asdict(cell), "search": search}


def prune_section(row: str, settings: Settings) -> tuple[dict[str, Any], int]:
    """The ``prune`` section of a row with its epochs, and the epochs of fine-tuning that are left."""
    section = dict(rows()[row])
    spec = PruneSpec(**section)
    if spec.schedule == "one_shot":
        return section | {"epochs": 0}, settings.prune_epochs + settings.final_epochs
    fresh = settings.dense_epochs if PRUNERS[spec.method].from_scratch else 0
    section["epochs"] = settings.prune_epochs + fresh
    if spec.schedule == "iterative":  # AP trains once more than it has rounds.
        section["options"] = {"rounds": min(settings.prune_epochs - (spec.method == "ap"), MOST_ROUNDS)}
    return section, settings.final_epochs
