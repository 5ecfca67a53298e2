"""Small real jobs in this process."""

from pathlib import Path
from typing import Any

from safs.events.kinds import Event
from safs.execution.serial import SerialExecutor
from safs.pipeline.result_stage import Result
from safs.pipeline.run import run_job
from safs.spec.job import JobSpec
from search_spaces import SPACES

TINY: dict[str, Any] = {
    "model": {"architecture": "lenet5"},
    "data": {"dataset": "digits", "batch_size": 64},
    "sparsity": 0.95,
    "train": {"epochs": 3},
    "prune": {"schedule": "one_shot", "distribution": "global"},
    "activations": {"trials": 3, "epochs": 1},
    "tune": {"trials": 3, "epochs": 1},
    "final": {"epochs": 2, "candidates": ["default", "activations", "hyperparameters", "safs"]},
}


class Finished:
    """A job that ran to its end in this process, shared by the tests that only read its results."""

    def __init__(self, spec: JobSpec, folder: Path) -> None:
        self.spec = spec
        self.events: list[Event] = []
        self.result: Result = run_job(
            spec,
            spaces=SPACES,
            executor=SerialExecutor(slots=2),
            report=self.events.append,
            data_root=None,
            dense_weights=None,
            out_dir=folder,
        )
