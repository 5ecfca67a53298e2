"""The progress of a running job: one bar per stage on a terminal, plain lines elsewhere."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bars

from cli.terminal import visible
from safs.events.kinds import Event, Note, Stage, StageDone, StageStarted, TrialDone
from safs.events.plan import StagePlan
from safs.events.progress import Progress, Tracker

STAGE_TITLES = {
    Stage.DENSE: "train dense",
    Stage.PRUNE_SEARCH: "search prunings",
    Stage.PRUNE: "prune",
    Stage.ACTIVATIONS: "search activations",
    Stage.TUNE: "tune",
    Stage.TUNE_ALONE: "tune, original activations",
    Stage.JOINT: "operators and tuning",
    Stage.FINAL: "train candidates",
    Stage.FRONT: "train other sparsities",
    Stage.REPORT: "test and report",
}
LINES_A_STAGE = 4
"""Lines about trials that a stage prints without a terminal."""


class View(Protocol):
    """A display of a job's progress."""

    def show(self, event: Event, progress: Progress) -> None:
        """Shows one event and the progress after it."""


class JobProgress:
    """Shows a job's events and the progress that follows from them.

    Args:
        plan: the job's stages.
    """

    def __init__(self, plan: Sequence[StagePlan], view: View) -> None:
        self._plan = tuple(plan)
        self._view = view
        self._tracker: Tracker | None = None

    def update(self, event: Event, now_s: float) -> None:
        """Shows an event that happened at ``now_s``. The first event starts the job's clock."""
        if self._tracker is None:
            self._tracker = Tracker(self._plan, started_s=now_s)
        self._view.show(event, self._tracker.update(event, now_s))


@contextmanager
def job_progress(plan: Sequence[StagePlan], console: Console) -> Iterator[JobProgress]:
    """Shows a job while the block runs: bars on a terminal, plain lines elsewhere."""
    if not console.is_terminal:
        yield JobProgress(plan, Lines(console))
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        TextColumn("{task.fields[status]}", markup=False),
    )
    with Bars(*columns, console=console, refresh_per_second=4) as bars:
        yield JobProgress(plan, StageBars(bars, plan))


class StageBars:
    """One bar per stage and one for the whole job."""

    def __init__(self, bars: Bars, plan: Sequence[StagePlan]) -> None:
        self._bars = bars
        self._tasks = {
            stage.stage: bars.add_task(STAGE_TITLES[stage.stage], total=1.0, status="", start=False) for stage in plan
        }
        self._whole = bars.add_task("[bold]whole job", total=1.0, status="waiting for a runner")

    def show(self, event: Event, progress: Progress) -> None:
        """Updates the bars, and prints notes above them."""
        if isinstance(event, Note):
            self._bars.console.print(
                visible(_note(event)), style="yellow" if event.level == "warning" else "dim", markup=False
            )
        if progress.stage not in self._tasks:
            return
        title, task = STAGE_TITLES[progress.stage], self._tasks[progress.stage]
        if isinstance(event, StageDone):
            self._bars.update(task, completed=1.0, description=title, status=visible(event.summary))
        else:
            share, status = _stage_share(progress), _status(progress)
            self._bars.update(task, completed=share, description=f"[bold cyan]{title}", status=status)
        self._bars.update(self._whole, completed=progress.fraction, status=_time(progress))


class Lines:
    """One line when a stage begins, a few about its trials, one when it ends."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, event: Event, progress: Progress) -> None:
        """Prints a line for the events that have one."""
        if line := self._line(event, progress):
            self._console.print(visible(line), markup=False, soft_wrap=True)

    def _line(self, event: Event, progress: Progress) -> str | None:
        title = f"[{progress.stage_number}/{progress.stages}] {STAGE_TITLES[progress.stage]}"
        match event:
            case Note():
                return _note(event)
            case StageStarted() if event.trials > 1:
                most = "at most " if progress.epochs < event.trials * event.epochs else ""
                return f"{title}: {event.trials} {_noun(event.stage)}s, epochs of each: {most}{event.epochs}"
            case StageDone():
                return f"{title}: {event.summary} ({event.seconds:.0f} s)"
            case TrialDone() if _is_milestone(progress):
                done = f"{progress.trials_done} of {progress.trials} {_noun(progress.stage)}s done"
                return f"{title}: {done}{_best(progress)}, job: {_time(progress)}"
            case _:
                return None


def _is_milestone(progress: Progress) -> bool:
    """True for about ``LINES_A_STAGE`` trials of each stage."""
    step = max(1, progress.trials // LINES_A_STAGE)
    return 0 < progress.trials_done < progress.trials and progress.trials_done % step == 0


def _stage_share(progress: Progress) -> float:
    return progress.epochs_done / progress.epochs if progress.epochs else 0.0


def _status(progress: Progress) -> str:
    if progress.trials > 1:
        number = min(progress.trials_done + 1, progress.trials)
        return f"{_noun(progress.stage)} {number} of {progress.trials}{_best(progress)}"
    return f"epoch {progress.epochs_done} of {progress.epochs}{_best(progress)}" if progress.epochs else ""


def _noun(stage: Stage) -> str:
    return "training" if stage is Stage.FINAL else "trial"


def _best(progress: Progress) -> str:
    return "" if progress.best_accuracy is None else f", best so far {progress.best_accuracy:.1%}"


def _time(progress: Progress) -> str:
    if progress.fraction == 1.0:
        return f"done in {_clock(progress.elapsed_s)}"
    if progress.remaining_s is None:
        return f"{_clock(progress.elapsed_s)} so far"
    return f"about {_clock(progress.remaining_s)} left"


def _clock(seconds: float) -> str:
    """Minutes and seconds, with hours if there are any.

    >>> _clock(65.2), _clock(3_725)
    ('1:05', '1:02:05')
    """
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def _note(note: Note) -> str:
    return f"{note.level}: {note.message}"
