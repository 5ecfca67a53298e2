"""Timing in a process of its own."""

import sys
from pathlib import Path

import pytest

from safs.estimates import estimate_in_subprocess
from safs.preflight import Preflight, check
from safs.spec.job import JobSpec

SPEC = JobSpec.model_validate(
    {"model": {"architecture": "lenet5"}, "data": {"dataset": "digits"}, "sparsity": 0.9, "preset": "quick"}
)


@pytest.fixture(scope="module")
def found() -> Preflight:
    return check(SPEC, data_root=None, weights=None)


def test_a_real_job_is_timed_by_a_real_process(found: Preflight) -> None:
    made = estimate_in_subprocess(SPEC, found, limit_s=250.0)

    assert made.untimed is None
    assert made.seconds is not None
    assert made.low_s is not None
    assert made.high_s is not None
    assert 0 < made.low_s < made.seconds < made.high_s
    assert made.in_flight >= 1


@pytest.mark.parametrize(("limit_s", "reason"), [(0.0, "turned off"), (0.01, "timing took longer than")])
def test_no_time_for_timing_is_said(found: Preflight, limit_s: float, reason: str) -> None:
    made = estimate_in_subprocess(SPEC, found, limit_s=limit_s)

    assert made.seconds is None
    assert reason in str(made.untimed)
    assert made.trials.expected > 0


@pytest.mark.parametrize(
    ("script", "reason"),
    [("#!/bin/sh\necho 'no room' >&2\nexit 3\n", "ended with 3: no room"), ("", "no process could be started")],
)
def test_a_process_that_dies_is_a_reason_and_no_error(
    found: Preflight, script: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python"
    if script:
        program.write_text(script)
        program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))

    made = estimate_in_subprocess(SPEC, found, limit_s=60.0)

    assert made.seconds is None
    assert reason in str(made.untimed)
