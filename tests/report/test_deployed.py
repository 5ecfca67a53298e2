"""Sizes and times in words and in the picture."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from safs.report import deployed, draw_picture

REPORT = json.loads((Path(__file__).parent / "report.json").read_text())
SECTION: dict[str, Any] = {
    "checkpoint_bytes": 247_592,
    "bound_bytes": 3_000,
    "formats": [
        {"format": "compact", "size_bytes": 4_560, "error": None},
        {"format": "onnx", "size_bytes": None, "error": "the network calls x"},
    ],
    "cpu": "AMD EPYC",
    "threads": 1,
    "times": [
        {"batch": 1, "dense_ms": 15.2, "sparse_ms": 1.9},
        {"batch": 32, "dense_ms": 200.0, "sparse_ms": 200.0},
    ],
    "error": None,
}


def with_section(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(REPORT) | {"deploy": SECTION | changes}


def test_one_line_tells_the_sizes_and_one_the_times() -> None:
    assert deployed(with_section()) == [
        "sizes: compact 4.6 kB, onnx failed; the checkpoint has 247.6 kB",
        "sparse runtime on AMD EPYC, 1 thread: batch of 1 1.9 ms, PyTorch 15.2 ms: 8.0 times faster; batch of 32 "
        "200 ms, PyTorch 200 ms: no gain on this machine",
    ]


def test_the_engine_and_the_memory_are_told_where_they_were_measured() -> None:
    memory = {"dense_bytes": 14_800_000, "sparse_bytes": 166_700_000, "engine": "onnxruntime"}
    times = [SECTION["times"][0] | memory | {"batch": 32}]

    assert deployed(with_section(formats=[], times=times, threads=2)) == [
        "sparse runtime on AMD EPYC, 2 threads: batch of 32 1.9 ms (dense by onnxruntime), PyTorch 15.2 ms: 8.0 times "
        "faster; memory of the larger batch 166.7 MB, PyTorch 14.8 MB",
    ]


def test_what_was_not_measured_has_no_line() -> None:
    assert deployed(REPORT) == []
    assert len(deployed(with_section(times=[]))) == 1
    assert deployed(with_section(times=[], formats=[], error="no")) == ["the sparse runtime could not be measured: no"]


@pytest.mark.parametrize("times", [SECTION["times"], []])
def test_the_picture_has_a_row_with_bytes_and_milliseconds(tmp_path: Path, times: list[Any]) -> None:
    draw_picture(with_section(times=times), tmp_path / "report.svg")
    written = re.findall(r"<!-- (.*?) -->", (tmp_path / "report.svg").read_text())

    assert {"Size of the result", "Time on this CPU", "247.6 kB", "4.6 kB", "entropy", "bound"} <= set(written)
    assert ("8.0 times faster" in written) == bool(times)
    assert any(text.startswith("not timed") for text in written) == (not times)
