"""Jobs that choose how to prune: the starts, the one-shot baseline, and what a report says about both."""

from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cli.tables import comparison_table
from safs.checkpoint import verify
from safs.errors import TimeLimitReached
from safs.events.kinds import Event, Stage, StageDone, StageStarted, TrialDone
from safs.events.plan import plan_stages
from safs.events.progress import Tracker
from safs.execution.executor import EARLIER_ATTEMPT
from safs.execution.serial import SerialExecutor
from safs.pipeline.result_stage import Result
from safs.pipeline.run import run_job
from safs.report import comparison_rows, draw_picture
from safs.reuse.cache import FolderCache
from safs.spec.job import JobSpec
from safs.spec.starts import starts_of
from safs.trials import Trial
from search_spaces import SPACES

JOB: dict[str, Any] = {
    "model": {"architecture": "mlp"},
    "data": {"dataset": "digits", "batch_size": 64},
    "sparsity": 0.95,
    "preset": "quick",
    "train": {"epochs": 1},
    "prune": {"epochs": 1, "search": {"starts": 3, "epochs": 3, "schedules": ["cubic"]}},
    "joint": {"trials": 1, "epochs": 1},
    "final": {"epochs": 1},
}


class Ran:
    """A finished job with its events."""

    def __init__(self, folder: Path, changes: dict[str, Any] | None = None, cache: FolderCache | None = None) -> None:
        self.spec = JobSpec.model_validate(JOB | (changes or {}))
        self.events: list[Event] = []
        self.result: Result = run_job(
            self.spec,
            spaces=SPACES,
            executor=SerialExecutor(),
            report=self.events.append,
            data_root=None,
            dense_weights=None,
            out_dir=folder,
            cache=cache or FolderCache(folder.parent / f"{folder.name}-cache"),
        )
        self.rows = {row["name"]: row for row in self.result.report["rows"]}

    def trials(self, stage: Stage) -> list[Trial]:
        return [Trial(e.candidate, e.outcome) for e in self.events if isinstance(e, TrialDone) and e.stage is stage]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return Ran(tmp_path_factory.mktemp("jobs") / "job")


def test_the_starts_are_compared_before_the_network_is_pruned(ran: Ran) -> None:
    stages = [event.stage.value for event in ran.events if isinstance(event, StageStarted)]

    assert stages == ["dense", "prune_search", "prune", "joint", "final", "report"]
    compared = [trial.candidate for trial in ran.trials(Stage.PRUNE_SEARCH)]
    assert [one.config["start"] for one in compared if one.epochs == 2] == list(starts_of(ran.spec.prune))
    promoted = [one for one in compared if one.epochs == 3]
    assert promoted
    assert all(one.continues is not None for one in promoted)


def test_the_best_start_by_validation_after_the_tuning_is_the_one_that_the_job_prunes_by(ran: Ran) -> None:
    longest = [trial for trial in ran.trials(Stage.PRUNE_SEARCH) if trial.candidate.epochs == 3]
    best = min(longest, key=lambda trial: trial.rank)
    start = starts_of(ran.spec.prune)[str(best.candidate.config["start"])]

    assert ran.result.report["result"] != "one_shot"
    assert ran.result.report["prune"] == start.model_dump(mode="json", exclude={"search"})
    pruned = ran.trials(Stage.PRUNE)[0]
    assert len(pruned.outcome.curve) == start.epochs


def test_the_report_keeps_pruning_and_search_apart(ran: Ran) -> None:
    assert list(ran.rows) == ["dense", "pruned", "one_shot", "default", "joint"]
    live = {row["live_weights"] for name, row in ran.rows.items() if name != "dense"}
    assert len(live) == 1
    test = {name: row["test_accuracy"] for name, row in ran.rows.items()}
    result = ran.result.report["result"]
    assert ran.result.report["gains"] == {
        "pruning": test["default"] - test["one_shot"],
        "search": test[result] - test["default"],
        "all": test[result] - test["one_shot"],
    }


def test_the_one_shot_baseline_trains_as_long_as_pruning_and_fine_tuning_together(ran: Ran) -> None:
    epochs = {trial.candidate.config["candidate"]: trial.candidate.epochs for trial in ran.trials(Stage.FINAL)}

    assert epochs == {"one_shot": 2, "default": 1, "joint": 1}


def test_the_plan_and_the_estimate_count_what_the_job_trains(ran: Ran) -> None:
    report = ran.result.report
    planned = {plan.stage.value: (plan.trials, plan.all_epochs) for plan in plan_stages(ran.spec)}

    assert planned["prune_search"] == (4, 7)
    assert planned["prune"] == (2, 1)
    assert planned["final"] == (3, 4)
    expected = report["estimate"]["epochs"]["expected"]
    assert expected == sum(epochs for _, epochs in planned.values())
    # A trial that was promoted early may be overtaken, and the plan counts the fewest promotions.
    overtaken = len(ran.trials(Stage.PRUNE_SEARCH)) - 4
    assert report["actual"]["epochs"] == expected + overtaken
    assert report["actual"]["trials"] == report["estimate"]["trials"]["expected"] + overtaken


def test_progress_reaches_the_end(ran: Ran) -> None:
    tracker = Tracker(plan_stages(ran.spec))
    progress = [tracker.update(event, float(second)) for second, event in enumerate(ran.events)]

    fractions = [one.fraction for one in progress if one is not None]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_the_report_lists_the_trials_of_the_starts(ran: Ran) -> None:
    search = ran.result.report["searches"]["prune_search"]

    assert search["strategy"] == "asha"
    assert {(trial["epochs"], trial["trained"]) for trial in search["trials"]} == {(2, 2), (3, 1)}


def test_the_checkpoint_verifies(ran: Ran) -> None:
    assert verify(ran.result.directory).sparsity.sparsity == pytest.approx(0.95, abs=1e-4)


def test_a_second_job_reuses_the_comparison_of_starts(ran: Ran, tmp_path: Path) -> None:
    cache = FolderCache(ran.result.directory.parent / f"{ran.result.directory.name}-cache")

    again = Ran(tmp_path / "again", {"final": {"epochs": 2}}, cache)

    done = {event.stage: event for event in again.events if isinstance(event, StageDone)}
    assert done[Stage.PRUNE_SEARCH].recalled is not None
    assert done[Stage.PRUNE].recalled is not None
    assert done[Stage.FINAL].recalled is None
    assert again.result.report["prune"] == ran.result.report["prune"]


class _Interrupted(FolderCache):
    """A cache that also knows the trials of an attempt that was interrupted in its comparison of starts."""

    def __init__(self, folder: Path, known: Sequence[Trial]) -> None:
        super().__init__(folder)
        self._known = known

    def trials(self, stage: Stage) -> Sequence[Trial]:
        return self._known if stage is Stage.PRUNE_SEARCH else ()


def test_an_interrupted_comparison_of_starts_resumes_with_the_recorded_trials(ran: Ran, tmp_path: Path) -> None:
    recorded = ran.trials(Stage.PRUNE_SEARCH)

    resumed = Ran(tmp_path / "resumed", cache=_Interrupted(tmp_path / "cache", recorded[:2]))

    sources = [e.recalled for e in resumed.events if isinstance(e, TrialDone) and e.stage is Stage.PRUNE_SEARCH]
    assert sources == [EARLIER_ATTEMPT] * 2 + [None] * (len(recorded) - 2)
    assert [(t.candidate, t.outcome.loss) for t in resumed.trials(Stage.PRUNE_SEARCH)] == [
        (t.candidate, t.outcome.loss) for t in recorded
    ]
    assert resumed.rows["default"]["test_accuracies"] == ran.rows["default"]["test_accuracies"]


def test_a_time_limit_and_a_cancellation_end_the_comparison_of_starts(tmp_path: Path) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, TrialDone) and event.stage is Stage.PRUNE_SEARCH:
            raise TimeLimitReached("enough")

    with pytest.raises(TimeLimitReached):
        run_job(
            JobSpec.model_validate(JOB),
            spaces=SPACES,
            executor=SerialExecutor(),
            report=stop,
            data_root=None,
            dense_weights=None,
            out_dir=tmp_path / "job",
        )
    assert not (tmp_path / "job" / "report.json").exists()


def test_a_job_whose_best_start_is_one_shot_has_no_second_baseline(tmp_path: Path) -> None:
    prune = {"distribution": "global", "search": {"starts": 2, "epochs": 2, "schedules": ["one_shot"]}, "epochs": 1}

    found = Ran(tmp_path / "job", {"prune": prune})

    assert list(found.rows) == ["dense", "pruned", "default", "joint"]
    assert found.result.report["gains"] == pytest.approx({"search": found.result.report["gain"]["test"]})
    assert found.result.report["prune"]["schedule"] == "one_shot"


@pytest.mark.exhaustive
def test_the_report_the_picture_and_the_table_keep_all_baselines_apart(tmp_path: Path) -> None:
    names = ["one_shot", "default", "activations", "hyperparameters", "joint"]
    search = {"strategy": "random", "trials": 1, "epochs": 1}

    found = Ran(tmp_path / "job", {"final": {"epochs": 1, "candidates": names}, "activations": search, "tune": search})

    rows, gains = found.rows, found.result.report["gains"]
    assert list(rows) == ["dense", "pruned", *names]
    test = {name: row["test_accuracy"] for name, row in rows.items()}
    best = found.result.report["result"]
    assert gains == pytest.approx(
        {
            "pruning": test["default"] - test["one_shot"],
            "activations": test["activations"] - test["default"],
            "recipe": test["hyperparameters"] - test["default"],
            "search": test[best] - test["default"],
            "all": test[best] - test["one_shot"],
        }
    )
    labels = [row.label for row in comparison_rows(found.result.report)]
    console = Console(file=StringIO(), width=120)
    console.print(comparison_table(comparison_rows(found.result.report)))
    draw_picture(found.result.report, tmp_path / "report.svg")
    drawn, printed = (tmp_path / "report.svg").read_text(), console.file.getvalue()
    for label in labels:
        assert label in printed
        assert all(part in drawn for part in label.replace(", ", ",\n").splitlines())
