"""A start is given up if it is stuck, and not because the machine is busy."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cli import supervisor
from cli.errors import CommandError
from cli.start_progress import LEAST_WORK_S, PATIENCE_S, StartProgress, Work, work_of
from cli.supervisor import Service
from cli.terminal import stdout
from tests.waiting import wait_until


def test_a_start_that_does_nothing_is_stuck_after_a_while() -> None:
    progress = StartProgress(100.0)

    # An idle Ray uses a little CPU.
    stuck = [progress.is_stuck(100.0 + t, work_s=0.03 * t, lines=0) for t in (1.0, PATIENCE_S, PATIENCE_S + 1)]

    assert stuck == [False, False, True]


@pytest.mark.parametrize("grows", ["work_s", "lines"])
def test_a_start_that_works_or_prints_lines_is_never_stuck(grows: str) -> None:
    progress = StartProgress(0.0)
    found: dict[str, Any] = {"work_s": 0.0, "lines": 0}

    for minute in range(1, 60):  # an hour
        found[grows] += LEAST_WORK_S if grows == "work_s" else 1
        assert not progress.is_stuck(60.0 * minute, **found)
    assert progress.is_stuck(60.0 * 59 + PATIENCE_S + 1, **found)


def test_the_work_of_a_process_includes_all_that_it_has_started() -> None:
    busy = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while True: pass'])"
    process = subprocess.Popen([sys.executable, "-c", busy], start_new_session=True)
    try:
        before = work_of([process.pid]).total_s
        wait_until(lambda: work_of([process.pid]).total_s > before + 0.3)
    finally:
        os.killpg(process.pid, 9)
        process.wait()

    assert work_of([process.pid]) == Work(0.0, 0.0)


def test_time_that_was_waited_for_a_core_is_work(tmp_path: Path) -> None:
    for pid, parent in ((7, 1), (8, 7), (9, 1)):
        (tmp_path / f"{pid}/task/{pid}").mkdir(parents=True)
        (tmp_path / f"{pid}/stat").write_text(f"{pid} (a) name) S {parent} 0 0")
        (tmp_path / f"{pid}/task/{pid}/schedstat").write_text("2000000000 30000000000 5")

    assert work_of([7], tmp_path) == Work(cpu_s=4.0, waited_s=60.0)


class _Child:
    """A child that never becomes ready."""

    name, log, pid, lines, is_ready, exit_code = "runner", Path("runner.log"), os.getpid(), 0, False, None

    def tail(self) -> list[str]:
        return ["starting Ray"]

    def stop(self, grace_s: float) -> None:
        """Nothing runs."""


def test_a_stuck_start_says_so_with_the_end_of_the_log_and_a_slow_one_that_it_continues(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = iter(range(0, 10_000, 20))
    monkeypatch.setattr(supervisor.time, "monotonic", lambda: float(next(seconds)))
    monkeypatch.setattr(supervisor, "_LOOK_EVERY_S", 0.0)
    works = iter([Work(1.0, 30.0 * turn) for turn in range(20)])
    last = Work(1.0, 600.0)
    monkeypatch.setattr(supervisor, "work_of", lambda _: next(works, last))
    child: Any = _Child()

    message = r"runner is stuck: no progress for 120 s(.|\n)*runner\.log(.|\n)*starting Ray"
    with pytest.raises(CommandError, match=message):
        Service("http://127.0.0.1:9", [child, child], stdout())._wait_until_ready()

    told = capsys.readouterr().out
    assert "still starting after 40 s: the runner is not ready." in told
    assert "still starting after 520 s" in told
