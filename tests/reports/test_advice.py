"""Messages of failed jobs advise only what follows from the cause."""

from pathlib import Path
from typing import Any

import pytest
import torch

from safs.errors import SpecError, TrainingError
from safs.execution.executor import failed_outcome
from safs.execution.serial import SerialExecutor
from safs.execution.work import Trained
from safs.pipeline.run import run_job
from safs.spec.job import JobSpec
from safs.training.session import Diverged
from safs.trials import OUT_OF_MEMORY, Outcome
from search_spaces import SPACES

JOB: dict[str, Any] = {
    "model": {"architecture": "mlp"},
    "data": {"dataset": "digits"},
    "sparsity": 0.5,
    "train": {"epochs": 1},
}


class Failing(SerialExecutor):
    """An executor whose trainings end with ``outcome``."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self._outcome = outcome

    def train(self, *args: Any) -> list[Trained]:
        return [Trained(self._outcome, None)]


def _message(outcome: Outcome, folder: Path) -> str:
    with pytest.raises(TrainingError) as failed:
        run_job(
            JobSpec.model_validate(JOB),
            spaces=SPACES,
            executor=Failing(outcome),
            report=lambda event: None,
            data_root=None,
            dense_weights=None,
            out_dir=folder,
        )
    return failed.value.message


def test_a_process_that_failed_is_not_blamed_on_the_learning_rate(tmp_path: Path) -> None:
    message = _message(failed_outcome("RuntimeError: Found no NVIDIA driver on your system"), tmp_path)

    assert "Found no NVIDIA driver" in message
    assert "learning_rate" not in message


def test_memory_that_ran_out_is_met_with_smaller_batches(tmp_path: Path) -> None:
    message = _message(Outcome(float("inf"), error=f"{OUT_OF_MEMORY}: tried to allocate 2 GiB"), tmp_path)

    assert "data.batch_size" in message
    assert "learning_rate" not in message


def test_a_training_that_diverged_is_met_with_a_lower_learning_rate(tmp_path: Path) -> None:
    message = _message(Outcome(float("inf"), error=Diverged(1).message), tmp_path)

    assert message.endswith("the training diverged. Try a lower train.learning_rate.")


@pytest.mark.parametrize("device", ["cuda", "nonsense"])
@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_device_that_is_not_there_is_refused_before_anything_runs(device: str) -> None:
    with pytest.raises(SpecError, match=f"device '{device}' cannot be used"):
        SerialExecutor(device)
