"""Timing in a subprocess."""

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
def preflight() -> Preflight:
    return check(SPEC, data_root=None, weights=None)


def test_a_real_job_is_timed_by_a_real_process(preflight: Preflight) -> None:
    result = estimate_in_subprocess(SPEC, preflight, limit_s=250.0)

    assert result.untimed is None
    assert result.seconds is not None
    assert result.low_s is not None
    assert result.high_s is not None
    assert 0 < result.low_s < result.seconds < result.high_s
    assert result.in_flight >= 1


@pytest.mark.parametrize(("limit_s", "reason"), [(0.0, "turned off"), (0.01, "timing took longer than")])
def test_an_estimate_without_timing_gives_the_reason(preflight: Preflight, limit_s: float, reason: str) -> None:
    result = estimate_in_subprocess(SPEC, preflight, limit_s=limit_s)

    assert result.seconds is None
    assert reason in str(result.untimed)
    assert result.trials.expected > 0


@pytest.mark.parametrize(
    ("script", "reason"),
    [("#!/bin/sh\necho 'no room' >&2\nexit 3\n", "ended with 3: no room"), ("", "no process could be started")],
)
def test_a_process_that_dies_is_reported_as_the_reason(
    preflight: Preflight, script: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python"
    if script:
        program.write_text(script)
        program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))

    result = estimate_in_subprocess(SPEC, preflight, limit_s=60.0)

    assert result.seconds is None
    assert reason in str(result.untimed)
