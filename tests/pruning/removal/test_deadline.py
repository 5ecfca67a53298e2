import threading
import time

import pytest

from safs.pruning.removal.deadline import TimeUp, within


def test_work_that_ends_in_time_gives_its_result():
    assert within(10.0, lambda: 42) == 42


def test_an_error_of_the_work_arrives():
    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        within(10.0, fail)


def test_work_that_never_ends_is_ended_and_leaves_no_thread_behind():
    def spin() -> None:
        while True:
            pass

    with pytest.raises(TimeUp):
        within(0.05, spin)

    assert not any(thread.name == "within" for thread in threading.enumerate())


def test_work_that_handles_every_ordinary_error_is_ended_too():
    def stubborn() -> None:
        while True:
            try:
                int("x")
            except Exception:
                continue

    with pytest.raises(TimeUp):
        within(0.05, stubborn)


def test_work_that_only_waits_is_ended_by_the_clock():
    def wait() -> None:
        lock = threading.Event()
        while not lock.wait(0.01):
            pass

    began = time.monotonic()
    with pytest.raises(TimeUp):
        within(0.05, wait)

    assert time.monotonic() - began < 4.0
