"""The points of a front in tables and in the picture."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from safs.report import FrontRow, draw_picture, front_rows

REPORT = json.loads((Path(__file__).parent / "report.json").read_text())


def _point(sparsity: float, accuracy: float, size: int, milliseconds: float | None = None) -> dict[str, Any]:
    times = [] if milliseconds is None else [{"batch": 1, "dense_ms": 2.0, "sparse_ms": milliseconds}]
    return {
        "sparsity": sparsity,
        "live": round(61_470 * (1 - sparsity)),
        "result": "safs",
        "validation_accuracy": accuracy,
        "test_accuracy": accuracy,
        "recommended": sparsity == 0.95,
        "searched": sparsity == 0.99,
        "rows": REPORT["rows"],
        "size_bytes": size,
        "deploy": {"times": times},
    }


def with_front(*milliseconds: float | None) -> dict[str, Any]:
    values = zip((0.9, 0.95, 0.99), (0.95, 0.94, 0.9), (26_000, 14_500, 4_600), milliseconds, strict=True)
    return copy.deepcopy(REPORT) | {"front": [_point(*value) for value in values]}


def test_a_row_has_the_point_s_accuracies_size_and_time() -> None:
    assert front_rows(with_front(None, 1.5, None))[1] == FrontRow(
        sparsity=0.95,
        label="SAFS (both)",
        validation_accuracy=0.94,
        test_accuracy=0.94,
        live_weights=3074,
        size_bytes=14_500,
        milliseconds=1.5,
        is_recommended=True,
        is_searched=False,
    )


def test_a_job_with_a_single_sparsity_has_no_rows() -> None:
    assert front_rows(REPORT) == []


@pytest.mark.parametrize(("milliseconds", "panels"), [((None,) * 3, 2), ((3.0, 2.0, 1.0), 3)])
def test_the_picture_shows_the_front_over_each_cost_that_was_measured(
    milliseconds: tuple[float | None, ...], panels: int, tmp_path: Path
) -> None:
    draw_picture(with_front(*milliseconds), tmp_path / "report.svg")

    text = re.findall(r"<!-- (.*?) -->", (tmp_path / "report.svg").read_text())
    assert [one for one in text if one.startswith("Accuracy over")] == [
        "Accuracy over sparsity",
        "Accuracy over bytes",
        "Accuracy over time",
    ][:panels]
    assert "95% (recommended)" in text
    assert sum(one.endswith("; at 99%") for one in text) == 2  # the panels of the searches
