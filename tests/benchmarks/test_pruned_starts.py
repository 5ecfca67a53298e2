"""The comparison of ways to prune: its rows, its table and its results file."""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import pruned_starts
from benchmarks.pruned_starts import ROWS, table
from safs.data import Splits, TensorSplit


def cell(row: str, distribution: str, test: float, **changes: Any) -> dict[str, Any]:
    return {"sparsity": 0.99, "distribution": distribution, "seed": 0, "row": row, "test": test} | changes


def test_every_row_costs_the_same_epochs() -> None:
    for row in ROWS.values():
        spec = row.spec("erk")

        assert spec.distribution == "erk"
        assert spec.epochs == (0 if row.pruning is None else 5)
        assert spec.recipe == row.pruning


def test_the_table_has_mean_and_deviation_over_seeds() -> None:
    cells = [
        cell("a", "global", 0.80),
        cell("a", "global", 0.84, seed=1),
        cell("a", "uniform", 0.5),
        cell("b", "uniform", 0.25),
        cell("b", "global", 0.1, sparsity=0.9),
    ]

    assert table(cells, 0.99).splitlines() == [
        "| 99.0% | global | uniform |",
        "|---|---|---|",
        "| a | 82.0% +- 2.8 | 50.0% |",
        "| b |  | 25.0% |",
    ]


def test_a_measured_cell_is_not_measured_again_by_the_same_version(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (64, 1, 28, 28), generator=draw, dtype=torch.uint8)
    split = TensorSplit(pixels, torch.arange(64) % 10, torch.tensor([127.0]), torch.tensor([70.0]), 10, 1, 28)
    reads = []
    monkeypatch.setattr(pruned_starts, "_images", lambda seed, _: reads.append(seed) or Splits(split, split, split, 10))
    monkeypatch.setattr(pruned_starts, "ROWS", {name: ROWS[name] for name in list(ROWS)[4:6]})
    arguments = Namespace(
        sparsity=0.9,
        distributions=["global"],
        rows=list(pruned_starts.ROWS),
        architecture="lenet5",
        image_size=28,
        results=tmp_path / "results.jsonl",
    )

    pruned_starts._measure(0, arguments)
    pruned_starts._measure(0, arguments)
    found = [json.loads(line) for line in arguments.results.read_text().splitlines()]
    monkeypatch.setattr(pruned_starts, "code_version", lambda: "another")

    assert reads == [0]
    assert [one["row"] for one in found] == list(ROWS)[4:6]
    assert all(len(one["curve"]) == 5 for one in found)
    assert pruned_starts._read(arguments.results) == []
