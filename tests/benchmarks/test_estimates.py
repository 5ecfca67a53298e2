"""The benchmark of estimates: valid jobs, and jobs that are within if their time lies in the interval."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.estimates import LONGER, NEEDED, SMALL, complete, is_within, main
from safs.preflight import check
from safs.spec.job import JobSpec


def report(took_s: float) -> dict[str, Any]:
    return {"estimate": {"seconds": 10.0, "low_s": 8.0, "high_s": 15.0}, "actual": {"seconds": took_s}}


@pytest.mark.parametrize("spec", [*SMALL, *LONGER])
def test_every_job_is_valid(spec: dict[str, Any]) -> None:
    check(JobSpec.model_validate(complete(spec)), data_root=None, weights=None)


def test_there_are_ten_small_jobs_and_three_longer_ones() -> None:
    assert (len(SMALL), len(LONGER)) == (10, 3)


@pytest.mark.parametrize(("took_s", "within"), [(7.9, False), (8.0, True), (15.0, True), (15.1, False)])
def test_a_job_is_within_its_interval(took_s: float, within: bool) -> None:
    assert is_within(report(took_s)) == within


def test_finished_jobs_are_counted_from_their_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(1, 14):
        folder = tmp_path / f"job-{number}"
        folder.mkdir()
        (folder / "report.json").write_text(json.dumps(report(99.0 if number == 3 else 10.0)))

    assert main(["--out", str(tmp_path)]) == 0

    printed = capsys.readouterr().out
    assert "| 3 (small) | 99.0 s | 10.0 s | 8.0 to 15.0 s | no |" in printed
    assert f"within: {NEEDED['small']} small jobs, {NEEDED['longer']} longer ones, of 13" in printed
