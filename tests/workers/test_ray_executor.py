from pathlib import Path
from typing import Any

import pytest
import ray

from safs import pipeline
from safs.errors import Cancelled
from safs.events import Event, Pulse, StageDone, TrialDone
from safs.execution import Executor, SerialExecutor
from safs.spec import JobSpec
from search_spaces import SPACES
from tests.pipeline.jobs import TINY
from workers.capacity import Share
from workers.ray_executor import RayExecutor

pytestmark = pytest.mark.usefixtures("local_ray")

TWO_SLOTS = Share(slots=2, cpus=1, gpus=0.0)


def _run(executor: Executor, folder: Path, report: Any, changes: dict[str, Any] | None = None) -> pipeline.Result:
    return pipeline.run(
        JobSpec.model_validate(TINY | (changes or {})),
        spaces=SPACES,
        executor=executor,
        report=report,
        data_root=None,
        dense_weights=None,
        out_dir=folder,
    )


def _outcomes(events: list[Event]) -> list[tuple[Any, ...]]:
    done = [event for event in events if isinstance(event, TrialDone)]
    found = [(event.stage.value, event.candidate.number, event.candidate, event.outcome) for event in done]
    return [
        (stage, number, candidate, outcome.loss, outcome.metrics, len(outcome.curve))
        for stage, number, candidate, outcome in sorted(found, key=lambda item: item[:2])
    ]


def test_ray_proposes_and_finds_the_same_as_a_plain_process(tmp_path: Path) -> None:
    on_ray: list[Event] = []
    in_process: list[Event] = []

    parallel = _run(RayExecutor(TWO_SLOTS), tmp_path / "ray", on_ray.append)
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(TWO_SLOTS.threads)
    try:
        serial = _run(SerialExecutor(slots=2), tmp_path / "serial", in_process.append)
    finally:
        torch.set_num_threads(threads)

    assert _outcomes(on_ray) == _outcomes(in_process)
    assert parallel.report["rows"] == serial.report["rows"]
    weights = "checkpoint.safetensors"
    assert (parallel.directory / weights).read_bytes() == (serial.directory / weights).read_bytes()


def test_cancelling_in_the_middle_of_a_search_ends_its_actors_and_gives_the_cores_back(tmp_path: Path) -> None:
    seen: list[Event] = []

    def cancel(event: Event) -> None:
        seen.append(event)
        if isinstance(event, TrialDone) and event.stage == "activations":
            raise Cancelled("cancelled by the user")

    with pytest.raises(Cancelled):
        _run(RayExecutor(TWO_SLOTS), tmp_path, cancel, {"activations": {"trials": 20, "epochs": 50}})

    assert not any(isinstance(event, StageDone) and event.stage == "activations" for event in seen)
    _wait_for_cores(2)


def test_cancelling_in_the_middle_of_a_single_training_ends_it(tmp_path: Path) -> None:
    def cancel(event: Event) -> None:
        if not isinstance(event, Pulse) and getattr(event, "metrics", None) is not None:
            raise Cancelled("cancelled by the user")

    with pytest.raises(Cancelled):
        _run(RayExecutor(TWO_SLOTS), tmp_path, cancel, {"train": {"epochs": 5000}})

    _wait_for_cores(2)


def test_a_trial_that_diverges_is_an_outcome_and_the_search_goes_on(tmp_path: Path) -> None:
    events: list[Event] = []

    # 100 is far beyond what any network bears, so whatever of stage 1 trains at the default rate is NaN.
    changes = {
        "sparsity": 0.1,
        "train": {"epochs": 1, "learning_rate": 1e-3},
        "activations": {"trials": 3, "epochs": 1, "operators": ["symexp"]},
        "tune": {"trials": 6, "epochs": 2},
        "final": {"epochs": 1, "candidates": ["default", "safs"]},
    }
    _run(RayExecutor(TWO_SLOTS), tmp_path, events.append, changes)

    tuned = [event.outcome for event in events if isinstance(event, TrialDone) and event.stage == "tune"]
    assert len(tuned) == 6
    assert all(outcome.error is None or "not finite" in outcome.error for outcome in tuned)


def _wait_for_cores(cores: int) -> None:
    """Until Ray has all cores back; pytest's time limit is the judge."""
    while ray.available_resources().get("CPU", 0) < cores:
        ray.wait([ray.put(None)], timeout=0.1)
