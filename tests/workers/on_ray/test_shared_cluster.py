"""Runs the tests of ``shared_cluster.py``, each in a pytest process of its own.

A second process can join only the Ray that a process has started first: Ray hands its token down to child processes
once. Each starts a cluster, two runners and their workers; tests/store/test_core_queue.py tests the order itself.
"""

import os
import subprocess
import sys

import pytest

from tests.resume.attempts import ROOT
from tests.workers.on_ray import shared_cluster


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "name",
    [
        shared_cluster.test_a_job_that_was_claimed_second_waits_visibly_until_the_first_has_its_cores.__name__,
        shared_cluster.test_a_waiting_job_goes_on_when_the_runner_before_it_has_died.__name__,
    ],
)
def test_cores_go_to_jobs_in_the_order_of_their_claims(name: str) -> None:
    known = {variable: value for variable, value in os.environ.items() if not variable.startswith(("RAY_", "PYTEST_"))}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]

    ran = subprocess.run(
        [*command, f"tests/workers/on_ray/shared_cluster.py::{name}"],
        cwd=ROOT,
        env=known | {"RAY_worker_niceness": "0"},
        capture_output=True,
        text=True,
    )

    assert ran.returncode == 0, ran.stdout[-5000:] + ran.stderr[-5000:]
    assert "1 passed" in ran.stdout
