"""A list of jobs in a terminal of 80 columns: ids and states whole, and a long name hides no other column."""

import io
from typing import Any

from rich.console import Console

from cli.tables import job_table, jobs_table
from safs.client import RemoteJob

ID = "job_1k1f7dmw95th0st50h4z9"


def job(name: str, **fields: Any) -> Any:
    view = {
        "id": ID,
        "name": name,
        "state": "running",
        "stage": "tune",
        "progress": {"fraction": 0.5},
        "spec": {
            "model": {"architecture": "lenet5"},
            "data": {"dataset": "digits"},
            "sparsity": 0.9,
            "prune": {"method": "ap"},
            "preset": "quick",
            "seed": 0,
        },
        "result": None,
        "created_at": "2026-11-22T12:30:00Z",
    }
    return RemoteJob(None, view | fields)  # type: ignore[arg-type]


def shown(*jobs: Any) -> list[list[str]]:
    """The cells of each line in a terminal of 80 columns."""
    written = io.StringIO()
    Console(file=written, width=80).print(jobs_table(jobs, 80))
    return [line.split() for line in written.getvalue().splitlines()]


def test_a_long_name_hides_no_other_column() -> None:
    head, line = shown(job("a name of an experiment that is longer than all the other columns"))

    assert head == ["job", "state", "stage", "done", "network", "data", "method", "test"]
    assert line == [ID, "running", "tune", "50%", "lenet5", "digits", "ap"]


def test_a_wait_for_cores_is_shown_in_place_of_the_stage() -> None:
    waiting = job("one", stage=None, progress=None, waiting={"cores": 2, "jobs_before": 1})

    _, line = shown(waiting)
    whole = io.StringIO()
    Console(file=whole, width=80).print(job_table(waiting))

    assert " ".join(line) == f"{ID} one running waits for 2 cores lenet5"
    assert "waits for 2 cores, 1 job before it" in whole.getvalue()
