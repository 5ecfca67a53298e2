"""A test that ends or hangs its process fails, and all other tests still run; shown with pytest itself."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.scheduling import TOGETHER, FileByFile

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.timeout(600)
FILE = """
import ctypes, logging, os, pytest

def hang():
    ctypes.PyDLL(None).pause()

@pytest.fixture
def clumsy():
    yield
    hang()

@pytest.mark.parametrize("number", range(3))
def test_it(number):
    with open("ran", "a") as file:
        file.write(f"{__name__[-1]}{number} ")
"""
"""The hanging call holds the interpreter lock, so neither a signal handler nor another thread can end it."""
NAMES = "abcdefgh"
TROUBLED = {
    "c": "    if number == 1: os._exit(3)",
    "d": "    if number == 1: hang()",
    "e": r"    logging.warning('caf\udce9.png is damaged')",
    "h": "def test_last(clumsy): assert False",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[str]]:
    """The output of a run with three troubled files of eight, and the names of the tests that began."""
    folder = tmp_path_factory.mktemp("suite")
    for name in NAMES:
        (folder / f"test_{name}.py").write_text(FILE + TROUBLED.get(name, ""))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    command = "-n 2 --dist loadfile --no-loadscope-reorder -p xdist -p tests.scheduling -p no:cacheprovider"
    limit = "-o faulthandler_timeout=5 -o faulthandler_exit_on_timeout=true"
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", f"--rootdir={folder}", *command.split(), *limit.split()],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert ended.returncode == 1, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr, (folder / "ran").read_text().split()


def test_the_tests_on_ray_run_in_one_process_and_all_others_by_file() -> None:
    scheduler = FileByFile.__new__(FileByFile)
    on_ray = ["tests/workers/on_ray/test_tune.py::test_it[1]", "tests/workers/on_ray/test_executor.py::test_it"]

    assert {scheduler._split_scope(test) for test in on_ray} == {"tests/workers/on_ray"}
    assert scheduler._split_scope("tests/workers/test_runner.py::test_it") == "tests/workers/test_runner.py"


def test_every_file_that_needs_ray_is_among_those_that_share_it() -> None:
    asks = re.compile(r'\b(local_ray|ray_session|shared_executor)[":]')
    named = {file for file in (ROOT / "tests").rglob("test_*.py") if asks.search(file.read_text())}

    assert {file.parent.relative_to(ROOT).as_posix() for file in named - {Path(__file__)}} == set(TOGETHER)


class FakeNode:
    """A process that takes tests, and runs none."""

    shutting_down = False

    def __init__(self) -> None:
        self.sent: list[int] = []

    def send_runtest_some(self, indices: list[int]) -> None:
        self.sent += indices

    def shutdown(self) -> None:
        self.shutting_down = True


def test_a_process_that_dies_while_another_starts_leaves_its_tests_to_that_one() -> None:
    config: Any = SimpleNamespace(
        getvalue=lambda name: ["popen"] if name == "tx" else None, option=SimpleNamespace(loadscopereorder=False)
    )
    tests = [f"test_{name}.py::test_{number}" for name in "ab" for number in (0, 1)]
    scheduler: Any = FileByFile(config)
    dying, starting = FakeNode(), FakeNode()
    scheduler.add_node(dying)
    scheduler.add_node_collection(dying, tests)
    scheduler.schedule()
    scheduler.add_node(starting)

    culprit = scheduler.remove_node(dying)
    sent_before_it_had_collected = list(starting.sent)
    scheduler.add_node_collection(starting, tests)
    scheduler.schedule()

    assert dying.sent == [0, 1, 2, 3]
    assert culprit == tests[0]
    assert sent_before_it_had_collected == []
    assert starting.sent == [1, 2, 3]


def test_all_tests_are_run_and_none_of_them_twice(run: tuple[str, list[str]]) -> None:
    printed, ran = run

    assert sorted(ran) == [f"{name}{number}" for name in NAMES for number in range(3)]
    assert "4 failed, 22 passed" in printed  # The last test fails twice: its call and its teardown.


def test_one_that_ends_its_process_is_named(run: tuple[str, list[str]]) -> None:
    assert "crashed while running 'test_c.py::test_it[1]'" in run[0]


def test_one_that_hangs_beyond_signals_is_named_and_its_stack_printed(run: tuple[str, list[str]]) -> None:
    printed, _ = run

    assert "crashed while running 'test_d.py::test_it[1]'" in printed
    assert "Timeout (0:00:05)!" in printed
    assert "in hang\n" in printed
    assert "in test_it\n" in printed


def test_a_teardown_that_hangs_after_a_failed_test_is_named_too(run: tuple[str, list[str]]) -> None:
    printed, _ = run

    assert "crashed while running 'test_h.py::test_last'" in printed
    assert "in clumsy\n" in printed
