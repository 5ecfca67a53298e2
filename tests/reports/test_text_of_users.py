"""Names and messages of users in a terminal: no markup, no escape sequences, no id that is cut."""

import io
from typing import Any

import pytest

from cli.progress_bars import job_progress
from cli.tables import facts_table, jobs_table
from cli.terminal import SafeConsole
from safs.client import RemoteJob
from safs.client.connection import Backoff, Connection
from safs.events.kinds import Note, Stage, StageDone, StageStarted
from safs.events.plan import StagePlan

NAME = "data [/srv/run7] [red]\x1b[31m:smile:\u202e"
SHOWN = "data [/srv/run7] [red]\\x1b[31m:smile:\\u202e"
ID = "job_01kb2v9zq3n8f4x7c5m2d"


def console(width: int) -> tuple[SafeConsole, io.StringIO]:
    """A terminal of this width, and what is written to it."""
    written = io.StringIO()
    return SafeConsole(file=written, width=width, force_terminal=True, color_system=None), written


def job(name: str) -> RemoteJob:
    view: dict[str, Any] = {
        "id": ID,
        "name": name,
        "state": "succeeded",
        "stage": "report",
        "progress": None,
        "created_at": "2026-01-31T00:00:00Z",
        "owner": "vision",
        "spec": {
            "model": {"architecture": "resnet18"},
            "data": {"dataset": "cifar10"},
            "sparsity": 0.99,
            "prune": {"method": "magnitude"},
        },
    }
    return RemoteJob(Connection("http://127.0.0.1:1", None, Backoff()), view)


def test_a_name_in_a_list_of_jobs_is_shown_as_it_is() -> None:
    screen, written = console(200)

    screen.print_uncut(jobs_table([job(NAME + "\nsecond line")], 200))

    assert f"{SHOWN}\\nsecond line" in written.getvalue()
    assert "\x1b[31m" not in written.getvalue()
    assert len(written.getvalue().splitlines()) == 2


@pytest.mark.parametrize("width", [20, 40, 80, 300])
def test_ids_and_states_are_never_cut(width: int) -> None:
    screen, written = console(width)

    screen.print_uncut(jobs_table([job("short")], width))

    line = written.getvalue().splitlines()[1]
    assert line.startswith(ID)
    assert "succeeded" in line
    assert "…" not in line
    assert len(line.rstrip()) <= max(width, len(ID) + 2 + len("succeeded"))
    assert ("magnitude" in line) == (width == 300)


def test_a_message_and_a_fact_are_shown_as_they_are() -> None:
    screen, written = console(200)

    screen.print(f"note: {NAME}")
    screen.print(facts_table({"name": NAME}))

    assert written.getvalue().count(SHOWN) == 2
    assert "\x1b[31m" not in written.getvalue()


@pytest.mark.parametrize("is_terminal", [True, False])
def test_summaries_and_notes_in_the_progress_are_shown_as_they_are(is_terminal: bool) -> None:
    written = io.StringIO()
    screen = SafeConsole(file=written, width=200, force_terminal=is_terminal, color_system=None)

    with job_progress((StagePlan(Stage.DENSE, 1, 1), StagePlan(Stage.REPORT, 0, 0)), screen) as progress:
        for event in (StageStarted(Stage.DENSE, 1, 1), Note(NAME), StageDone(Stage.DENSE, 1.0, NAME)):
            progress.update(event, 0.0)

    assert written.getvalue().count(SHOWN) >= 2
    assert "\x1b[31m" not in written.getvalue()


def test_names_of_files_that_are_not_utf_8_can_be_printed() -> None:
    written = io.BytesIO()
    screen = SafeConsole(file=io.TextIOWrapper(written, "utf-8", write_through=True), width=80)

    screen.print("bad name: \udcff.png")

    assert written.getvalue() == b"bad name: \\udcff.png\n"
