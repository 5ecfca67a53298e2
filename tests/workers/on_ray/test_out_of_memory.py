"""Trainings on a real Ray that run out of memory."""

from pathlib import Path

import pytest
import torch

from safs import data
from safs.data import TensorSplit
from safs.events.kinds import Event, Note, Stage, TrialDone
from safs.execution.executor import Task
from safs.execution.training import Training
from safs.execution.work import Context
from safs.networks import Blueprint
from safs.search.conductor import Conductor
from safs.search.random import RandomSearch
from safs.spec.data import DataSpec
from safs.spec.training import Recipe
from safs.training.settings import TrainingData
from safs.trials import Candidate
from search_spaces import SPACES
from tests.workers.out_of_memory_split import OutOfMemorySplit
from workers.on_ray.capacity import Share
from workers.on_ray.executor import RayExecutor
from workers.on_ray.orders import OutOfMemory
from workers.on_ray.packing import out_of_memory_reason
from workers.on_ray.trial_actor import TrialActor

pytestmark = pytest.mark.usefixtures("local_ray")

ONCE, ALWAYS = 1, 1000
ALONE = "out of memory, also alone: CUDA out of memory. Training 13 wanted more."


def training(seed: int) -> Training:
    return Training({}, Recipe(), 1, seed)


def test_trials_that_run_out_of_memory_are_retried_alone_and_then_fail(tmp_path: Path) -> None:
    events: list[Event] = []
    space = SPACES.activations(["relu1", "relu2"], ["relu", "swish", "tanh"], 0)
    strategy = RandomSearch(space, trials=5, epochs=1, seed=0)
    context = _context(tmp_path, {11: ONCE, 13: ALWAYS, 21: ALWAYS})

    with RayExecutor(Share(slots=2, workers=2, cpus=1, gpus=0.0)) as executor:
        trials = executor.search(
            Stage.ACTIVATIONS,
            Conductor(strategy, window=4),
            lambda candidate: training(10 + candidate.number),
            context,
            events.append,
            recall=lambda candidate: None,
        )
        works = [Task(Candidate(number, {}, 1, seed), training(seed)) for number, seed in enumerate((20, 21))]
        final = executor.train(Stage.FINAL, works, context, events.append, lambda named, trained: None)
        slots = executor.slots

    assert [trial.candidate.number for trial in trials] == [0, 1, 2, 3, 4]
    assert [trial.outcome.error for trial in trials] == [None, None, None, ALONE, None]
    assert [one.outcome.error for one in final] == [None, ALONE.replace("13", "21")]
    assert [one.network is None for one in final] == [False, True]
    assert len([event for event in events if isinstance(event, TrialDone)]) == 7
    (note,) = [event.message for event in events if isinstance(event, Note)]
    assert "2 were packed on it; from now on it is 1" in note
    passes = (tmp_path / "passes").read_text().splitlines()
    assert [line for line in passes if line.startswith("11 ")][-1] == "11 beside none"
    assert all(line.endswith("beside none") for line in passes[-3:])
    assert slots == 2  # The candidates of a search depend on the slots, and must not depend on memory.


def _context(folder: Path, failures: dict[int, int]) -> Context:
    splits = data.load(DataSpec(dataset="digits"), root=None, channels=1, image_size=28, seed=0)
    assert isinstance(splits.train, TensorSplit)
    split = OutOfMemorySplit(splits.train, folder, failures)
    return Context(Blueprint("lenet5", 1, 28, 10), TrainingData(split, splits.validation, 256))


@pytest.mark.parametrize(
    ("error", "out_of_memory"),
    [
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`\nmore"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_a_worker_distinguishes_an_out_of_memory_error_from_other_errors(
    error: RuntimeError, out_of_memory: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: TrialActor) -> None:
        raise error

    monkeypatch.setattr(TrialActor, "_work", fail)
    worker = TrialActor("cpu", torch.get_num_threads())

    if out_of_memory:
        answer = worker.step(None).answer
        assert answer == OutOfMemory("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
        assert out_of_memory_reason(answer) == answer.reason
    else:
        with pytest.raises(RuntimeError, match="shapes"):
            worker.step(None)
