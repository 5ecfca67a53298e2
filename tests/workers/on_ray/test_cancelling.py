"""Jobs on a real Ray that are cancelled: their processes end at once, and their cores are free again."""

from pathlib import Path
from typing import Any

import pytest
import ray

from safs.errors import Cancelled
from safs.events.kinds import EpochDone, Event, StageDone, TrialDone
from safs.pipeline.run import run_job
from safs.spec.job import JobSpec
from search_spaces import SPACES
from tests.pipeline.jobs import TINY
from tests.waiting import wait_until
from workers.on_ray.capacity import Share
from workers.on_ray.executor import RayExecutor

pytestmark = pytest.mark.usefixtures("local_ray")

JOB: dict[str, Any] = TINY | {"model": {"architecture": "mlp"}}
ALONE = Share(slots=2, workers=1, cpus=1, gpus=0.0)


def _run(executor: RayExecutor, folder: Path, report: Any, changes: dict[str, Any]) -> None:
    run_job(
        JobSpec.model_validate(JOB | changes),
        spaces=SPACES,
        executor=executor,
        report=report,
        data_root=None,
        dense_weights=None,
        out_dir=folder,
    )


def _cores_are_free() -> bool:
    return ray.available_resources().get("CPU") == 2


def test_a_search_that_is_cancelled_ends_its_actors_and_frees_their_cores(tmp_path: Path) -> None:
    events: list[Event] = []

    def cancel(event: Event) -> None:
        events.append(event)
        if isinstance(event, TrialDone) and event.stage == "activations":
            raise Cancelled("cancelled by the user")

    with pytest.raises(Cancelled), RayExecutor(ALONE) as executor:
        _run(executor, tmp_path, cancel, {"activations": {"trials": 20, "epochs": 10}})

    assert not any(isinstance(event, StageDone) and event.stage == "activations" for event in events)
    wait_until(_cores_are_free)


@pytest.mark.exhaustive  # test_runner_on_ray.py cancels a job in its first training.
def test_a_single_training_that_is_cancelled_ends_and_frees_its_cores(tmp_path: Path) -> None:
    def cancel(event: Event) -> None:
        if isinstance(event, EpochDone):
            raise Cancelled("cancelled by the user")

    with pytest.raises(Cancelled), RayExecutor(ALONE) as executor:
        _run(executor, tmp_path, cancel, {"train": {"epochs": 5000}})

    wait_until(_cores_are_free)
