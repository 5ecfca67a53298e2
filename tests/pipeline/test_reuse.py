"""Reuse of outputs of earlier jobs and of earlier attempts."""

from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any

import pytest

from safs.events.kinds import Event, Note, Stage, StageDone, TrialDone, TrialStarted
from safs.execution.executor import EARLIER_ATTEMPT
from safs.execution.serial import SerialExecutor
from safs.pipeline.result_stage import Result
from safs.pipeline.run import run_job
from safs.result_folder import CHECKPOINT
from safs.reuse import keys
from safs.reuse.cache import Cache, FolderCache, NoCache, Winner
from safs.spec.job import JobSpec
from safs.spec.training import Recipe
from safs.trials import Candidate, Outcome, Trial
from search_spaces import SPACES
from tests.pipeline.jobs import TINY

pytestmark = pytest.mark.slow

WEIGHTS = CHECKPOINT.filename

JOB: dict[str, Any] = TINY | {
    "model": {"architecture": "mlp"},
    "data": {"dataset": "digits", "batch_size": 256},
    "train": {"epochs": 1},
    "final": {"epochs": 1, "candidates": ["default", "safs"]},
}


class Ran:
    """A job that ran, with its events."""

    def __init__(
        self, job: Mapping[str, Any], folder: Path, cache: Cache, *, slots: int = 1, dies_at: int | None = None
    ) -> None:
        self.events: list[Event] = []
        self._dies_at = dies_at
        self.result: Result = run_job(
            JobSpec.model_validate(job),
            spaces=SPACES,
            executor=SerialExecutor(slots=slots),
            report=self._report,
            data_root=None,
            dense_weights=None,
            out_dir=folder,
            cache=cache,
        )

    def _report(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, TrialDone) and event.stage is Stage.TUNE and event.candidate.number == self._dies_at:
            raise KeyboardInterrupt

    def started(self, stage: Stage) -> list[int]:
        """Numbers of the trials that ran, without those that were recalled."""
        return [
            event.candidate.number for event in self.events if isinstance(event, TrialStarted) and event.stage is stage
        ]

    def reused(self) -> dict[str, str]:
        return {
            event.stage.value: event.recalled
            for event in self.events
            if isinstance(event, StageDone) and event.recalled
        }


@pytest.fixture(scope="module")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder with the outputs of all stages of ``JOB``."""
    folder = tmp_path_factory.mktemp("cache")
    Ran(JOB, tmp_path_factory.mktemp("first"), FolderCache(folder))
    return folder


class Failed(FolderCache):
    """The cache of an earlier attempt in which a final training failed."""

    def __init__(self, folder: Path, failed: Trial) -> None:
        super().__init__(folder)
        self._failed = failed

    def trials(self, stage: Stage) -> Sequence[Trial]:
        return [self._failed] if stage is Stage.FINAL else []


def test_a_final_training_that_failed_in_an_earlier_attempt_is_not_run_again(
    cache_folder: Path, tmp_path: Path
) -> None:
    job = JOB | {"final": {"epochs": 3, "candidates": ["default", "safs"]}}
    safs = Candidate(1, {"candidate": "safs", "repeat": 0}, 3, JobSpec.model_validate(job).seed)
    failure = Outcome(inf, error="the trial's process failed: ZeroDivisionError: division by zero")

    ran = Ran(job, tmp_path, Failed(cache_folder, Trial(safs, failure)))

    assert ran.started(Stage.FINAL) == [0]
    assert TrialDone(Stage.FINAL, safs, failure, EARLIER_ATTEMPT) in ran.events
    assert ran.result.report["result"] == "default"
    note = "safs broke down and cannot be the result: the trial's process failed: ZeroDivisionError: division by zero"
    assert note in ran.result.report["notes"]


def test_a_job_that_differs_only_in_its_last_section_reuses_earlier_stages(cache_folder: Path, tmp_path: Path) -> None:
    later = JOB | {"final": {"epochs": 2, "candidates": ["default", "safs"]}}

    ran = Ran(later, tmp_path, FolderCache(cache_folder))

    assert {stage: ran.started(stage) for stage in (Stage.DENSE, Stage.PRUNE, Stage.ACTIVATIONS, Stage.TUNE)} == {
        Stage.DENSE: [],
        Stage.PRUNE: [],
        Stage.ACTIVATIONS: [],
        Stage.TUNE: [],
    }
    assert ran.started(Stage.FINAL) == [0, 1]
    assert ran.reused() == dict.fromkeys(["dense", "prune", "activations", "tune"], str(cache_folder))
    stages = {stage["stage"]: stage["reused"] for stage in ran.result.report["stages"]}
    assert stages["tune"] == [str(cache_folder)]
    assert stages["final"] == []


def test_reused_outputs_equal_new_ones(cache_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "made").mkdir()

    taken = Ran(JOB, tmp_path / "taken", FolderCache(cache_folder)).result
    made = Ran(JOB, tmp_path / "made", NoCache()).result

    assert (taken.directory / WEIGHTS).read_bytes() == (made.directory / WEIGHTS).read_bytes()
    assert taken.report["searches"]["tune"]["trials"] == [
        trial | {"seconds": taken.report["searches"]["tune"]["trials"][number]["seconds"]}
        for number, trial in enumerate(made.report["searches"]["tune"]["trials"])
    ]


@pytest.mark.parametrize(
    ("change", "first_made"),
    [
        ({"seed": 1}, Stage.DENSE),
        ({"data": {"dataset": "digits", "batch_size": 128}}, Stage.DENSE),
        ({"sparsity": 0.9}, Stage.PRUNE),
        ({"activations": {"trials": 2, "epochs": 1}}, Stage.ACTIVATIONS),
        ({"tune": {"trials": 2, "epochs": 1}}, Stage.TUNE),
    ],
)
def test_stages_run_again_from_the_first_one_that_differs(
    cache_folder: Path, tmp_path: Path, change: dict[str, Any], first_made: Stage
) -> None:
    order = [Stage.DENSE, Stage.PRUNE, Stage.ACTIVATIONS, Stage.TUNE]

    ran = Ran(JOB | change, tmp_path, _ReadOnly(cache_folder))

    before = order[: order.index(first_made)]
    assert [stage for stage in before if ran.started(stage)] == []
    assert ran.started(first_made)  # Later stages can be the same again: another search can have the same winner.


def test_another_version_of_the_program_reuses_nothing(
    cache_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "code_version", lambda: "another")

    ran = Ran(JOB, tmp_path, _ReadOnly(cache_folder))

    assert ran.reused() == {}


def test_another_number_in_flight_searches_anew_with_the_same_pruned_network(
    cache_folder: Path, tmp_path: Path
) -> None:
    ran = Ran(JOB, tmp_path, _ReadOnly(cache_folder), slots=2)

    assert {"dense", "prune"} <= set(ran.reused())
    assert "activations" not in ran.reused()


class _ReadOnly(FolderCache):
    """A folder cache without writes, so that tests do not depend on their order."""

    def put(self, key: str, stage: Stage, file: Path) -> None:
        """Do nothing."""


class _Attempt(NoCache):
    """A cache with the trials in the events of an earlier attempt."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._events = events

    def trials(self, stage: Stage) -> Sequence[Trial]:
        done = [event for event in self._events if isinstance(event, TrialDone) and event.stage is stage]
        return [Trial(event.candidate, event.outcome) for event in done]


@pytest.mark.parametrize("slots", [pytest.param(1, marks=pytest.mark.exhaustive), 2])
def test_a_second_attempt_repeats_no_trial_and_ends_with_the_same_bytes(tmp_path: Path, slots: int) -> None:
    for name in ("whole", "second"):
        (tmp_path / name).mkdir()
    whole = Ran(JOB, tmp_path / "whole", NoCache(), slots=slots)
    events: list[Event] = []
    for event in whole.events:
        events.append(event)
        if isinstance(event, TrialDone) and event.stage is Stage.TUNE and event.candidate.number == 1:
            break

    second = Ran(JOB, tmp_path / "second", _Attempt(events), slots=slots)

    assert second.started(Stage.ACTIVATIONS) == []
    assert second.started(Stage.TUNE) == [2]
    recalled = {event.recalled for event in second.events if isinstance(event, TrialDone) and event.stage is Stage.TUNE}
    assert recalled == {EARLIER_ATTEMPT, None}
    assert (second.result.directory / WEIGHTS).read_bytes() == (whole.result.directory / WEIGHTS).read_bytes()


def test_a_search_that_cannot_be_resumed_exactly_warns_and_continues(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    first = Ran(JOB, tmp_path / "first", NoCache())
    elsewhere = [
        TrialDone(event.stage, _with_config(event.candidate), event.outcome) if isinstance(event, TrialDone) else event
        for event in first.events
        if not (isinstance(event, TrialDone) and (event.stage is not Stage.ACTIVATIONS or event.candidate.number > 1))
    ]

    second = Ran(JOB, tmp_path / "second", _Attempt(elsewhere))

    notes = [event.message for event in second.events if isinstance(event, Note) and event.level == "warning"]
    assert any("could not be resumed exactly" in note and "candidate 0 was" in note for note in notes)
    assert second.started(Stage.ACTIVATIONS) == [2]
    assert len(second.result.report["searches"]["activations"]["trials"]) == 3


def _with_config(candidate: Any) -> Any:
    """The candidate with another operator at its first site."""
    config = dict(candidate.config)
    site = next(iter(config))
    config[site] = "tanh" if config[site] != "tanh" else "elu"
    return type(candidate)(candidate.number, config, candidate.epochs, candidate.seed)


class _Winners(NoCache):
    def winners(self, architecture: str, limit: int) -> Sequence[Winner]:
        recipe = Recipe(optimizer="sgd", learning_rate=0.05, schedule="one_cycle")
        found = Winner("job-of-last-week", dict.fromkeys(("act1", "act2", "act3", "act4"), "tanh"), recipe, True)
        return [found][:limit]


def test_a_warm_start_tries_the_winner_first_and_names_its_job(tmp_path: Path) -> None:
    ran = Ran(JOB | {"warm_start": 1, "tune": {"trials": 2, "epochs": 1}}, tmp_path, _Winners())

    notes = [event.message for event in ran.events if isinstance(event, Note)]
    assert "Warm start: trial 1 of tune is what won job job-of-last-week." in notes
    first = ran.result.report["searches"]["tune"]["trials"][0]["config"]
    assert (first["optimizer"], first["learning_rate_sgd"], first["schedule"]) == ("sgd", 0.05, "one_cycle")
