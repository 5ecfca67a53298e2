"""Jobs with several sparsities: one dense training, one pruning, one search, and a result for each sparsity."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from safs.checkpoint import verify
from safs.errors import SafsError, SpecError, TimeLimitReached
from safs.events.kinds import Event, Stage, StageStarted, TrialDone
from safs.events.plan import plan_stages
from safs.events.progress import Tracker
from safs.execution.serial import SerialExecutor
from safs.pipeline.result_stage import Result
from safs.pipeline.run import run_job
from safs.preflight import check
from safs.reuse.cache import FolderCache
from safs.spec.job import JobSpec
from safs.trials import Trial
from search_spaces import SPACES

JOB: dict[str, Any] = {
    "model": {"architecture": "mlp"},
    "data": {"dataset": "digits", "batch_size": 64},
    "sparsity": [0.6, 0.8, 0.95],
    "preset": "quick",
    "train": {"epochs": 2},
    "prune": {"epochs": 1, "schedule": "cubic", "distribution": "global", "recipe": {"optimizer": "adam"}},
    "joint": {"trials": 2, "epochs": 1},
    "final": {"epochs": 1, "candidates": ["one_shot", "default", "joint"]},
}


class Ran:
    """A finished job with its events."""

    def __init__(self, folder: Path, cache: FolderCache, **changes: Any) -> None:
        self.spec = JobSpec.model_validate(JOB | changes)
        self.events: list[Event] = []
        self.folder = folder
        self.result: Result = run_job(
            self.spec,
            spaces=SPACES,
            executor=SerialExecutor(),
            report=self.events.append,
            data_root=None,
            dense_weights=None,
            out_dir=folder,
            cache=cache,
        )
        self.front = {point["sparsity"]: point for point in self.result.report.get("front", ())}

    def trials(self, stage: Stage) -> list[Trial]:
        return [Trial(e.candidate, e.outcome) for e in self.events if isinstance(e, TrialDone) and e.stage is stage]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> FolderCache:
    return FolderCache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, cache: FolderCache) -> Ran:
    return Ran(tmp_path_factory.mktemp("jobs") / "front", cache)


def test_each_sparsity_has_a_checkpoint_that_holds_it_to_the_single_weight(ran: Ran) -> None:
    assert list(ran.front) == [0.6, 0.8, 0.95]
    for sparsity, point in ran.front.items():
        verified = verify(ran.folder / f"sparsity-{sparsity}")
        assert verified.target == sparsity
        assert verified.sparsity.live == point["live"]


def test_there_is_one_dense_training_and_one_search(ran: Ran) -> None:
    assert len(ran.trials(Stage.DENSE)) == 1
    assert len(ran.trials(Stage.JOINT)) == 2


def test_each_pruning_goes_on_from_the_one_before(ran: Ran) -> None:
    pruned = [trial for trial in ran.trials(Stage.PRUNE) if trial.candidate.epochs]

    assert [trial.candidate.config["sparsity"] for trial in pruned] == [0.6, 0.8, 0.95]
    masks = []
    for sparsity in ran.front:
        config = json.loads((ran.folder / f"sparsity-{sparsity}" / "config.json").read_text())
        masks.append(config["live_weights"])
        assert config["prune"]["epochs"] == len(masks)
    for denser, sparser in pairwise(masks):
        assert all(sparser[name] <= count for name, count in denser.items())


def test_the_other_points_are_trained_with_what_the_search_found_and_by_the_default_protocol(ran: Ran) -> None:
    config = [trial.candidate.config for trial in ran.trials(Stage.FRONT)]

    assert [(one["sparsity"], one["candidate"]) for one in config] == [
        (sparsity, name) for sparsity in (0.6, 0.8) for name in ("default", "joint")
    ]
    for sparsity, point in ran.front.items():
        assert point["searched"] == (sparsity == 0.95)
        names = [row["name"] for row in point["rows"]]
        assert names == ["dense", "pruned", *["one_shot"] * point["searched"], "default", "joint"]


def test_the_result_is_the_sparsest_point_that_loses_no_more_than_the_spec_allows(ran: Ran, tmp_path: Path) -> None:
    (dense,) = (row for row in ran.result.report["rows"] if row["name"] == "dense")
    lowest = dense["validation_accuracy"] - 0.01
    holding = [sparsity for sparsity, point in ran.front.items() if point["validation_accuracy"] >= lowest]
    best = max(ran.front, key=lambda sparsity: ran.front[sparsity]["validation_accuracy"])

    (chosen,) = (sparsity for sparsity, point in ran.front.items() if point["recommended"])

    assert chosen == (max(holding) if holding else best)
    assert verify(ran.folder).target == chosen == ran.result.report["sparsity"]["target"]
    assert ran.result.report["job"]["sparsity"] == chosen


@pytest.mark.exhaustive
def test_the_default_protocol_of_the_first_point_is_that_of_its_own_job(
    ran: Ran, cache: FolderCache, tmp_path: Path
) -> None:
    alone = Ran(tmp_path / "alone", cache, sparsity=0.6)

    (own,) = (row for row in alone.result.report["rows"] if row["name"] == "default")
    (point,) = (row for row in ran.front[0.6]["rows"] if row["name"] == "default")
    assert own["test_accuracies"] == point["test_accuracies"]


def test_the_plan_counts_every_trial_and_epoch(ran: Ran) -> None:
    tracker = Tracker(plan_stages(ran.spec))
    plan = {stage.stage: (stage.trials, stage.all_epochs) for stage in plan_stages(ran.spec)}
    for event in ran.events:
        if isinstance(event, StageStarted):
            assert event.trials == plan[event.stage][0] or event.stage is Stage.JOINT
        progress = tracker.update(event, 0.0)
    assert progress.fraction == 1.0
    for stage in (Stage.PRUNE, Stage.FINAL, Stage.FRONT):
        epochs = sum(len(trial.outcome.curve) for trial in ran.trials(stage))
        assert plan[stage] == (len(ran.trials(stage)), epochs)


@pytest.mark.exhaustive
def test_an_interrupted_job_trains_no_point_again(ran: Ran, cache: FolderCache, tmp_path: Path) -> None:
    own = FolderCache(tmp_path / "cache")
    ended: list[Event] = []

    def stop(event: Event) -> None:
        ended.append(event)
        if isinstance(event, TrialDone) and event.stage is Stage.FRONT and event.candidate.number == 1:
            raise TimeLimitReached("stopped for the test")

    spec = JobSpec.model_validate(JOB)
    common: dict[str, Any] = {"spaces": SPACES, "data_root": None, "dense_weights": None, "out_dir": tmp_path / "job"}
    with pytest.raises(TimeLimitReached):
        run_job(spec, executor=SerialExecutor(), report=stop, cache=own, **common)
    again: list[Event] = []
    result = run_job(spec, executor=SerialExecutor(), report=again.append, cache=own, **common)

    done = [event for event in again if isinstance(event, TrialDone) and event.stage is Stage.FRONT]
    assert [event.recalled is not None for event in done] == [True, True, False, False]
    fronts = [[point["rows"] for point in one["front"]] for one in (result.report, ran.result.report)]
    assert fronts[0] == fronts[1]


def test_bisection_finds_a_higher_sparsity_that_holds_the_floor(ran: Ran, cache: FolderCache, tmp_path: Path) -> None:
    accuracies = {sparsity: point["validation_accuracy"] for sparsity, point in ran.front.items()}
    floor = (max(accuracies.values()) + min(accuracies.values())) / 2
    assert accuracies[0.95] < floor

    found = Ran(tmp_path / "floor", cache, accuracy_floor=floor)

    between = set(found.front) - set(ran.front)
    assert len(between) == 3
    holding = [sparsity for sparsity, point in found.front.items() if point["validation_accuracy"] >= floor]
    (chosen,) = (sparsity for sparsity, point in found.front.items() if point["recommended"])
    assert chosen == max(holding)
    assert verify(found.folder).target == chosen
    assert plan_stages(found.spec)[-2].trials == len(found.trials(Stage.FRONT))


@pytest.mark.exhaustive
@pytest.mark.parametrize(("floor", "words"), [(0.999, "add lower"), (0.01, "add higher")])
def test_a_floor_outside_of_the_front_is_said(floor: float, words: str, cache: FolderCache, tmp_path: Path) -> None:
    found = Ran(tmp_path / "floor", cache, accuracy_floor=floor)

    assert len(found.front) == 3
    assert any(words in note for note in found.result.report["notes"])


@pytest.mark.exhaustive
def test_one_shot_pruning_takes_every_sparsity_from_the_dense_network(cache: FolderCache, tmp_path: Path) -> None:
    prune = {"schedule": "one_shot", "distribution": "global"}
    found = Ran(tmp_path / "front", cache, prune=prune, sparsity=[0.6, 0.8])

    alone = Ran(tmp_path / "alone", cache, prune=prune, sparsity=0.6)
    (own,) = (row for row in alone.result.report["rows"] if row["name"] == "pruned")
    (point,) = (row for row in found.front[0.6]["rows"] if row["name"] == "pruned")
    assert own == point


@pytest.mark.exhaustive
def test_a_folder_of_a_front_holds_no_points_of_another_result(ran: Ran, cache: FolderCache, tmp_path: Path) -> None:
    Ran(tmp_path / "job", cache, sparsity=[0.6, 0.8])
    Ran(tmp_path / "job", cache, sparsity=0.6)

    assert [path.name for path in (tmp_path / "job").glob("sparsity-*")] == []


def test_sparsities_that_leave_the_same_weights_are_refused() -> None:
    with pytest.raises(SpecError, match="both leave") as raised:
        check(JobSpec.model_validate(JOB | {"sparsity": [0.9, 0.9000001]}), data_root=None, weights=None)

    assert raised.value.field == "sparsity"


@pytest.mark.parametrize("sparsity", [[0.3, 0.5], [0.5, 0.75]])
def test_a_sparsity_that_the_pruning_cannot_reach_is_refused_wherever_it_is(sparsity: list[float]) -> None:
    spec = JobSpec.model_validate(JOB | {"sparsity": sparsity, "prune": {"granularity": "2:4", "schedule": "one_shot"}})

    with pytest.raises(SafsError, match="2:4"):
        check(spec, data_root=None, weights=None)


@pytest.mark.exhaustive
def test_removed_filters_leave_a_smaller_network_at_each_sparsity(cache: FolderCache, tmp_path: Path) -> None:
    prune = {"granularity": "filter", "schedule": "one_shot", "distribution": "global"}
    found = Ran(tmp_path / "front", cache, prune=prune, sparsity=[0.4, 0.7])

    stored = [point["rows"][-1]["stored_weights"] for point in found.front.values()]
    assert stored[0] > stored[1]
    for sparsity in found.front:
        verify(found.folder / f"sparsity-{sparsity}")


def test_the_front_follows_the_final_trainings() -> None:
    order = [stage.stage for stage in plan_stages(JobSpec.model_validate(JOB))]

    assert order[-3:] == [Stage.FINAL, Stage.FRONT, Stage.REPORT]
