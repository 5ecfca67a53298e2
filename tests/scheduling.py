"""The suite goes on after a test that ended its process, ends one that hangs, hands on whatever was logged."""

import faulthandler
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

STDERR = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    """Keeps the way to the terminal, which is closed to tests."""
    assert sys.__stderr__ is not None
    config.stash[STDERR] = os.dup(sys.__stderr__.fileno())


def pytest_unconfigure(config: pytest.Config) -> None:
    os.close(config.stash[STDERR])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Limits what a failed test leaves to be torn down: pytest stops its watch at a failure, for those who debug."""
    if seconds := float(item.config.getini("faulthandler_timeout") or 0):
        faulthandler.dump_traceback_later(
            seconds, file=item.config.stash[STDERR], exit=item.config.getini("faulthandler_exit_on_timeout")
        )
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Iterator[Any]:
    """Spells out what is no text for execnet, which ends a process over it: names of files, once they are logged."""
    return _spelled((yield))


def _spelled(found: Any) -> Any:
    if isinstance(found, str):
        return found.encode(errors="backslashreplace").decode()
    if isinstance(found, dict):
        return {_spelled(key): _spelled(value) for key, value in found.items()}
    if isinstance(found, (list, tuple)):
        return type(found)(map(_spelled, found))
    return found


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    """Ours in place of ``--dist loadfile``."""
    return FileByFile(config, log) if config.getoption("dist") == "loadfile" else None


class FileByFile(LoadFileScheduling):
    """Goes on when a process has died.

    xdist 3.8 then hands out its finished files again, of which nothing is heard, and waits for ever. It also repeats
    the test that killed the process, and breaks off where that died while it was given a file.
    """

    def remove_node(self, node: WorkerController) -> str | None:
        """Hands out again what is left but for the test that the process died in; returns that."""
        assigned = self.assigned_work.pop(node)
        left = {file: [test for test, done in tests.items() if not done] for file, tests in assigned.items()}
        culprit = next((test for tests in left.values() for test in tests), None)
        for file, tests in left.items():
            if again := {test: False for test in tests if test != culprit}:
                self.workqueue[file] = again
        for other in self.assigned_work:
            self._reschedule(other)
        return culprit

    def _assign_work_unit(self, node: WorkerController) -> None:
        with suppress(OSError):  # It is dead, which will be noticed at once: see remove_node.
            super()._assign_work_unit(node)
