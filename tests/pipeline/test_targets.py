"""Jobs with a target in place of a sparsity, run to their ends."""

from pathlib import Path
from typing import Any

import pytest

from safs.checkpoint import verify
from safs.deploy.sparse import runtime
from safs.errors import SparsityError
from safs.events.kinds import Event, Note, Stage, StageStarted
from safs.execution.serial import SerialExecutor
from safs.pipeline.run import Result, run_job
from safs.report.deployed import deployed
from safs.reuse.cache import Cache, FolderCache, NoCache
from safs.spec.job import JobSpec
from search_spaces import SPACES

JOB: dict[str, Any] = {
    "model": {"architecture": "lenet5"},
    "data": {"dataset": "digits", "batch_size": 64},
    "train": {"epochs": 1},
    "prune": {"schedule": "one_shot", "distribution": "global"},
    "joint": {"strategy": "random", "trials": 1, "epochs": 1},
    "final": {"epochs": 1, "candidates": ["default", "joint"]},
}


def _run(
    folder: Path, changes: dict[str, Any], *, cache: Cache | None = None, events: list[Event] | None = None
) -> Result:
    return run_job(
        JobSpec.model_validate(JOB | changes),
        spaces=SPACES,
        executor=SerialExecutor(),
        report=([] if events is None else events).append,
        data_root=None,
        dense_weights=None,
        out_dir=folder / "result",
        cache=cache or NoCache(),
    )


@pytest.mark.parametrize(
    ("changes", "most"),
    [
        pytest.param({"target": {"flops": 0.3}}, 0.3 * 1.02, marks=pytest.mark.exhaustive),
        pytest.param({"target": {"bytes": 20_000}}, 20_400, marks=pytest.mark.exhaustive),
        pytest.param(
            {"target": {"flops": 0.3}, "prune": {"granularity": "filter"}}, 0.3 * 1.02, marks=pytest.mark.exhaustive
        ),
        pytest.param(
            {"target": {"bytes": 20_000}, "prune": {"granularity": "filter"}}, 20_400, marks=pytest.mark.exhaustive
        ),
    ],
)
def test_the_measured_cost_of_the_result_is_within_the_target(
    tmp_path: Path, changes: dict[str, Any], most: float
) -> None:
    result = _run(tmp_path, changes)

    target = result.report["target"]
    assert target["reached"]
    assert 0.9 * most < target["measured"] <= most
    assert target["measured"] == pytest.approx(target["estimated"], rel=0.02)
    verified = verify(result.directory)
    assert verified.target == target["sparsity"] == result.report["job"]["sparsity"]
    assert verified.sparsity.sparsity == pytest.approx(target["sparsity"], abs=1e-4)
    assert "reached" in deployed(result.report)[0]


@pytest.fixture
def no_timings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Timings of the sparse runtime go to a folder of the test, and no network is exported to try onnxruntime."""
    monkeypatch.setenv("SAFS_TIMINGS", str(tmp_path / "timings"))
    monkeypatch.setattr(runtime, "is_installed", lambda engine: False)


@pytest.mark.exhaustive
@pytest.mark.usefixtures("no_timings")
def test_a_latency_is_estimated_and_measured_on_the_result(tmp_path: Path) -> None:
    result = _run(tmp_path, {"target": {"latency": 0.95}})

    target = result.report["target"]
    assert target["estimated"] <= 0.95
    assert target["measured"] > 0
    assert target["cpu"]
    assert result.report["deploy"]["times"]


@pytest.mark.exhaustive
@pytest.mark.usefixtures("no_timings")
def test_an_unreachable_latency_ends_the_job_before_it_prunes(tmp_path: Path) -> None:
    events: list[Event] = []

    with pytest.raises(SparsityError, match=r"target.latency 1e-05 cannot be reached on .* Choose at least 0\.\d+"):
        _run(tmp_path, {"target": {"latency": 1e-5}}, events=events)

    assert [event.stage for event in events if isinstance(event, StageStarted)] == [Stage.DENSE]


@pytest.mark.exhaustive
def test_starts_are_compared_at_equal_cost_and_a_second_job_uses_what_was_found(tmp_path: Path) -> None:
    cache, events = FolderCache(tmp_path / "cache"), list[Event]()
    changes = {
        "target": {"flops": 0.3},
        "prune": {"search": {"starts": 2, "epochs": 1, "schedules": ["one_shot"], "distributions": ["global", "erk"]}},
        "final": {"epochs": 1, "candidates": ["one_shot", "default"]},
    }

    first = _run(tmp_path, changes, cache=cache)
    second = _run(tmp_path, changes | {"final": {"epochs": 2}}, cache=cache, events=events)

    assert first.report["target"]["measured"] <= 0.306
    assert second.report["target"] == first.report["target"]
    assert not [event for event in events if isinstance(event, Note) and event.message.startswith("The target")]


GRADUAL = {"schedule": "cubic", "distribution": "global", "epochs": 1, "recipe": {"learning_rate": 1e-2}}


@pytest.mark.parametrize(
    "target", [{"flops": 0.2}, pytest.param({"bytes": 20_000}, marks=pytest.mark.exhaustive)], ids=["flops", "bytes"]
)
def test_gradual_pruning_that_misses_the_target_is_repeated_at_a_corrected_sparsity(
    tmp_path: Path, target: dict[str, Any]
) -> None:
    result = _run(tmp_path, {"target": target, "prune": GRADUAL})

    section, (asked,) = result.report["target"], target.values()
    first, *_, last = section["prunings"]
    assert not 0.94 < first["measured"] / asked < 1.02  # where the estimate was wrong
    assert 0.95 < section["measured"] / asked <= 1.02
    assert section["reached"]
    assert (last["sparsity"], section["estimated"]) == (section["sparsity"], last["estimated"])
    assert verify(result.directory).target == section["sparsity"] != first["sparsity"]
    assert f"corrected from sparsity {first['sparsity']:g}" in deployed(result.report)[0]
    assert any("is repeated" in note for note in result.report["notes"])
