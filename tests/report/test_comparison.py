"""The rows of the comparison, from the report of a finished job."""

import json
from pathlib import Path

from safs.report import ComparisonRow, comparison_rows

REPORT = json.loads((Path(__file__).parent / "report.json").read_text())


def test_rows_keep_the_reports_order_and_mark_the_result_alone() -> None:
    rows = comparison_rows(REPORT)

    assert [row.name for row in rows] == ["dense", "pruned", "default", "activations", "hyperparameters", "safs"]
    assert [row.name for row in rows if row.is_result] == ["safs"]


def test_a_row_holds_both_accuracies_and_the_exact_count_of_live_weights() -> None:
    (row,) = (row for row in comparison_rows(REPORT) if row.name == "default")

    assert row == ComparisonRow(
        name="default",
        label="default protocol",
        validation_accuracy=0.6181,
        test_accuracy=0.6083,
        sparsity=(61_470 - 615) / 61_470,
        live_weights=615,
        weights=61_470,
        is_result=False,
    )
