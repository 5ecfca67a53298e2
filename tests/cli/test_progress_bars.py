"""A job's progress as a person sees it, with and without a terminal."""

import io

from rich.console import Console

from cli.progress_bars import job_progress
from safs.events.kinds import EpochDone, Event, Note, Stage, StageDone, StageStarted, TrialDone
from safs.events.plan import StagePlan
from safs.trials import Candidate, EpochMetrics, Outcome

PLAN = (StagePlan(Stage.DENSE, 1, 2), StagePlan(Stage.ACTIVATIONS, 8, 1), StagePlan(Stage.REPORT, 0, 0))


def dense_epoch(number: int) -> EpochDone:
    return EpochDone(Stage.DENSE, 0, EpochMetrics(number, 1.0, 1.0, 0.9, 1e-3, 1.0))


def trial_done(number: int) -> TrialDone:
    outcome = Outcome(0.5, {"accuracy": 0.5 + number / 100})
    return TrialDone(Stage.ACTIVATIONS, Candidate(number, {}, 1, 0), outcome)


A_JOB: list[Event] = [
    StageStarted(Stage.DENSE, 1, 2),
    dense_epoch(1),
    dense_epoch(2),
    StageDone(Stage.DENSE, 2.0, "dense validation accuracy 90.0%"),
    StageStarted(Stage.ACTIVATIONS, 8, 1),
    *(trial_done(number) for number in range(8)),
    Note("near chance", "warning"),
    StageDone(Stage.ACTIVATIONS, 8.0, "best validation accuracy 57.0%"),
    StageStarted(Stage.REPORT, 0, 0),
    StageDone(Stage.REPORT, 1.0, "verified"),
]
"""Times of events, one per second."""


def shown(console: Console) -> str:
    with job_progress(PLAN, console) as progress:
        for second, event in enumerate(A_JOB):
            progress.update(event, float(second))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_without_a_terminal_a_stage_is_a_few_plain_lines() -> None:
    written = shown(Console(file=io.StringIO(), width=100))

    assert written.splitlines() == [
        "[1/3] train dense: dense validation accuracy 90.0% (2 s)",
        "[2/3] search activations: 8 trials, epochs of each: 1",
        "[2/3] search activations: 2 of 8 trials done, best so far 51.0%, job: about 0:06 left",
        "[2/3] search activations: 4 of 8 trials done, best so far 53.0%, job: about 0:04 left",
        "[2/3] search activations: 6 of 8 trials done, best so far 55.0%, job: about 0:02 left",
        "warning: near chance",
        "[2/3] search activations: best validation accuracy 57.0% (8 s)",
        "[3/3] test and report: verified (1 s)",
    ]


def test_a_terminal_shows_a_bar_a_stage_and_one_for_the_whole() -> None:
    written = shown(Console(file=io.StringIO(), width=120, force_terminal=True, color_system=None))

    for text in ("train dense", "search activations", "test and report", "whole job", "warning: near chance"):
        assert text in written
    assert "best validation accuracy 57.0%" in written
    assert "done in 0:16" in written


def test_the_bars_say_that_no_runner_has_begun_yet() -> None:
    console = Console(file=io.StringIO(), width=120, force_terminal=True, color_system=None)

    with job_progress(PLAN, console):
        pass

    assert isinstance(console.file, io.StringIO)
    assert "waiting for a runner" in console.file.getvalue()
