"""The rows of the final comparison."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One line of the comparison; accuracies and sparsity are fractions in [0, 1]."""

    name: str
    """``dense``, ``pruned`` or a final candidate's name."""
    label: str
    validation_accuracy: float | None
    test_accuracy: float | None
    sparsity: float
    live_weights: int
    weights: int
    is_result: bool
    """True if this row's network is the result."""


def comparison_rows(report: Mapping[str, Any]) -> list[ComparisonRow]:
    """The comparison of a report.json, in its order; dense is the first row."""
    return [
        ComparisonRow(
            name=row["name"],
            label=row["label"],
            validation_accuracy=row["validation_accuracy"],
            test_accuracy=row["test_accuracy"],
            sparsity=row["sparsity"],
            live_weights=row["live_weights"],
            weights=row["weights"],
            is_result=row["name"] == report["result"],
        )
        for row in report["rows"]
    ]
