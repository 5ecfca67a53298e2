"""A pytest plugin: the suite survives a test that ends its process, and stops a test that hangs."""

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

TOGETHER = ("tests/workers/on_ray",)
"""Folders whose files run one after the other in one process, because they share a Ray."""
STDERR = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    """Keep a file descriptor of standard error, which pytest closes to tests."""
    assert sys.__stderr__ is not None
    config.stash[STDERR] = os.dup(sys.__stderr__.fileno())


def pytest_unconfigure(config: pytest.Config) -> None:
    os.close(config.stash[STDERR])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Limit the teardown of a failed test as well: pytest cancels its own timeout after a failure."""
    if seconds := float(item.config.getini("faulthandler_timeout") or 0):
        faulthandler.dump_traceback_later(
            seconds, file=item.config.stash[STDERR], exit=item.config.getini("faulthandler_exit_on_timeout")
        )
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Iterator[Any]:
    """Escape strings that execnet cannot encode, such as logged file names: one of them would end the process."""
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
    """``FileByFile`` in place of the scheduler of ``--dist loadfile``."""
    return FileByFile(config, log) if config.getoption("dist") == "loadfile" else None


class FileByFile(LoadFileScheduling):
    """A scheduler that continues after the death of a process.

    xdist 3.8 assigns the finished files of the dead process again, and waits for their results for ever. It also
    repeats the test that killed the process, and stops if the process dies while it is given a file.
    """

    def remove_node(self, node: WorkerController) -> str | None:
        """Reassign the remaining tests of a dead process, without the test that it died in; return that test."""
        assigned = self.assigned_work.pop(node)
        left = {file: [test for test, done in tests.items() if not done] for file, tests in assigned.items()}
        culprit = next((test for tests in left.values() for test in tests), None)
        for file, tests in left.items():
            if again := {test: False for test in tests if test != culprit}:
                self.workqueue[file] = again
        for other in self.assigned_work:
            self._reschedule(other)
        return culprit

    def _reschedule(self, node: WorkerController) -> None:
        """Give the process more tests, unless it has not told yet which tests it has; it gets its first ones then.

        xdist 3.8 raises KeyError for a process that has just replaced a dead one, and loses the tests. It also leaves
        such a process with a single test, which it never begins: a process waits until it knows the one after it.
        """
        if node not in self.registered_collections:
            return
        super()._reschedule(node)
        while not node.shutting_down and self._pending_of(self.assigned_work[node]) < 2:
            super()._reschedule(node)

    def _split_scope(self, nodeid: str) -> str:
        """Return the folder of a test in ``TOGETHER``, else its file: what has the same runs in the same process."""
        file: str = super()._split_scope(nodeid)
        return next((folder for folder in TOGETHER if file.startswith(f"{folder}/")), file)

    def _assign_work_unit(self, node: WorkerController) -> None:
        with suppress(OSError):  # The process is dead; remove_node is called next.
            super()._assign_work_unit(node)
