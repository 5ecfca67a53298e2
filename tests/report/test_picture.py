"""The picture, read back as SVG: matplotlib writes every text into it as a comment."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from safs.report import draw_picture

REPORT = json.loads((Path(__file__).parent / "report.json").read_text())
LAYERS = json.loads((Path(__file__).parent / "layers.json").read_text())


def texts(report: dict[str, Any], folder: Path) -> list[str]:
    """All texts in the report's picture."""
    draw_picture(report, folder / "report.svg")
    return re.findall(r"<!-- (.*?) -->", (folder / "report.svg").read_text())


def with_sites(count: int) -> dict[str, Any]:
    report: dict[str, Any] = copy.deepcopy(REPORT)
    report["sites"] = [
        {"path": f"features.relu{number}", "own": "relu", "chosen": ("symexp", "acon")[number % 2], "scalars": {}}
        for number in range(count)
    ]
    return report


def without(report: dict[str, Any], *rows: str) -> dict[str, Any]:
    return copy.deepcopy(report) | {"rows": [row for row in report["rows"] if row["name"] not in rows]}


@pytest.mark.parametrize(("report", "height"), [(REPORT, 1230), (REPORT | {"layers": LAYERS}, 1794)])
def test_a_png_of_a_thousand_pixels_and_more_is_written(report: dict[str, Any], height: int, tmp_path: Path) -> None:
    draw_picture(report, tmp_path / "report.png")

    header = (tmp_path / "report.png").read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(header[16:20]), int.from_bytes(header[20:24])) == (1650, height)


def test_the_headline_has_the_sparsity_and_the_gain(tmp_path: Path) -> None:
    written = texts(REPORT, tmp_path)

    assert "lenet5 on digits with 99% of its weights removed" in written
    assert "SAFS (both): 86.1% test accuracy, +25.3 points on the default protocol's 60.8%." in written


def test_the_gain_over_one_shot_pruning_is_told_if_the_job_has_that_row(tmp_path: Path) -> None:
    report = copy.deepcopy(REPORT)
    default = next(row for row in report["rows"] if row["name"] == "default")
    report["rows"].append(default | {"name": "one_shot", "label": "one-shot pruning", "test_accuracy": 0.5})

    written = texts(report, tmp_path)

    assert (
        "SAFS (both): 86.1% test accuracy, +25.3 points on the default protocol's 60.8%, +36.1 points on its 50.0% "
        "after one-shot pruning."
    ) in written


def test_a_line_has_the_cost_of_the_job_and_its_estimate_if_the_report_has_them(tmp_path: Path) -> None:
    old = {name: value for name, value in REPORT.items() if name not in ("estimate", "actual")}

    kept = "615 of 61,470 weights are left."
    line = f"{kept} The job took 42 s: 17 trainings, 60 epochs; estimated: 40 s (30 to 55)."
    assert line in texts(REPORT, tmp_path)
    assert kept in texts(old, tmp_path)


def test_every_row_of_the_comparison_has_its_two_numbers(tmp_path: Path) -> None:
    written = texts(REPORT, tmp_path)

    for row in REPORT["rows"]:
        assert all(part in written for part in row["label"].replace(", ", ",\n").split("\n"))
        assert f"{row['validation_accuracy']:.1%}" in written
        assert f"{row['test_accuracy']:.1%}" in written


def test_few_sites_are_named_and_many_are_numbered(tmp_path: Path) -> None:
    few, many = texts(with_sites(4), tmp_path), texts(with_sites(121), tmp_path)

    assert [f"features.relu{number}" in few for number in range(4)] == [True] * 4
    assert not any(text.startswith("features.relu") for text in many)
    assert "layer: the network's 121 activation calls, from input to output" in many


def test_a_search_that_the_job_did_not_run_is_named_as_missing(tmp_path: Path) -> None:
    report = copy.deepcopy(REPORT)
    del report["searches"]["tune"], report["searches"]["tune_alone"]

    written = texts(report, tmp_path)

    assert written.count("not part of this job") == 1
    assert "best so far" in written


def jointly(report: dict[str, Any]) -> dict[str, Any]:
    """The report of a job with a joint search, with trials of 1 and of 5 epochs."""
    changed = copy.deepcopy(report)
    trials = changed["searches"]["tune"]["trials"]
    for trial in trials:
        trial["epochs"] = 1 + 4 * (trial["number"] % 2)
    changed["searches"] = {"joint": {"strategy": "asha", "trials": trials}}
    changed["curves"]["safs"] = [{"epoch": 1, "validation_accuracy": 0.5}, {"epoch": 2, "validation_accuracy": 0.875}]
    return changed


def test_a_joint_search_is_drawn_beside_the_final_trainings(tmp_path: Path) -> None:
    written = texts(jointly(REPORT), tmp_path)

    assert "Activation functions and fine-tuning, searched together" in written
    assert "trial (1 to 5 epochs, larger dots longer), in the order proposed" in written
    assert "The candidates, trained to the end" in written
    assert "not part of this job" not in written


def test_a_search_whose_trials_all_broke_down_is_drawn(tmp_path: Path) -> None:
    report = copy.deepcopy(REPORT)
    for trial in report["searches"]["activations"]["trials"]:
        trial.update(accuracy=None, cross_entropy=None, error="the loss became infinite in epoch 1")

    written = texts(report, tmp_path)

    assert "best so far" not in written
    assert "trial that broke down" in written


@pytest.mark.parametrize(
    ("report", "sentence"),
    [
        (REPORT | {"result": "default"}, "Nothing beat the default protocol: 60.8% test accuracy."),
        (without(REPORT, "default"), "SAFS (both): 86.1% test accuracy; the default protocol broke down."),
    ],
)
def test_a_job_without_a_gain_says_so(report: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    assert sentence in texts(report, tmp_path)


@pytest.mark.parametrize("inputs", [None, {"kind": "pixel", "kept": [9, 10, 18], "channels": 1, "image_size": 8}])
def test_measurements_by_layer_add_a_row(inputs: dict[str, Any] | None, tmp_path: Path) -> None:
    written = texts(REPORT | {"layers": LAYERS, "inputs": inputs}, tmp_path)

    assert {"Dead neurons at each layer", "Gradient that reaches each layer"} <= set(written)
    assert ("Inputs that are read" in written) == (inputs is not None)
    assert any(text.startswith("615 of 61,470 weights and 18.1% of the operations are left.") for text in written)
