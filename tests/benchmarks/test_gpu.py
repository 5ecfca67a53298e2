"""The GPU benchmark on the CPU: all parts run, and it stops at its limit; the figures are not meaningful."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks.gpu.__main__ import NOT_MEASURED, main
from benchmarks.gpu.sheet import NOT_REACHED, Sheet
from safs.activations.operators import OPERATORS
from safs.pruning.pruners import PRUNERS


def run(folder: Path, *given: str) -> list[dict[str, object]]:
    out = folder / "gpu.json"
    assert main(["--device", "cpu", "--tiny", "--out", str(out), *given]) == 0
    rows: list[dict[str, object]] = json.loads(out.read_text())["rows"]
    return rows


@pytest.mark.exhaustive
def test_every_kind_of_work_is_checked_and_passes(tmp_path: Path) -> None:
    rows = run(tmp_path, "--parts", "paths")

    names = {str(row["name"]) for row in rows}
    assert names >= {f"pruning by {name}" for name in PRUNERS} | {f"operator {name}" for name in OPERATORS}
    assert [row for row in rows if row["value"] != "ok"] == []


@pytest.mark.exhaustive  # It starts processes.
def test_rates_throughput_and_the_papers_trials_are_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = run(tmp_path, "--parts", "rates", "throughput", "paper", "--networks", "mlp")

    values = {str(row["name"]): row["value"] for row in rows}
    assert "recorded on a GPU only" in str(values.pop("mlp, stack of 1, recorded"))
    assert not [value for value in values.values() if str(value).startswith("failed")]
    assert float(str(values["mlp, 2 as one"])) > 0
    assert float(str(values["mlp, 2 processes"])) > 0
    assert "| throughput | mlp, 2 as one |" in capsys.readouterr().out


def test_steps_are_measured_in_every_way(tmp_path: Path) -> None:
    rows = run(tmp_path, "--parts", "rates", "--networks", "mlp")

    assert sum(isinstance(row["value"], float) for row in rows) == len(rows) - 1


def test_nothing_begins_after_the_limit_and_the_rest_is_noted(tmp_path: Path) -> None:
    sheet = Sheet(tmp_path / "gpu.json", 0.0, "a machine")
    begun: list[int] = []

    sheet.measure("part", "first", lambda: begun.append(1))

    assert begun == []
    assert json.loads(sheet.file.read_text())["rows"][0]["value"] == NOT_REACHED
    assert f"| part | first | {NOT_REACHED} |" in sheet.table()


def test_a_measurement_that_fails_costs_no_other(tmp_path: Path) -> None:
    sheet = Sheet(tmp_path / "gpu.json", 60.0, "a machine")

    sheet.measure("part", "broken", lambda: 1 / 0)
    sheet.measure("part", "whole", lambda: 2.0)

    values = [row["value"] for row in json.loads(sheet.file.read_text())["rows"]]
    assert values == ["failed: ZeroDivisionError: division by zero", 2.0]


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_a_gpu_nothing_is_measured_and_the_exit_code_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == NOT_MEASURED

    assert "Not measured" in capsys.readouterr().out
