"""Lines of the log: what they hold, and that they hold what is known of the moment."""

import io
import json
import logging
from collections.abc import Iterator
from contextvars import copy_context
from threading import Thread
from typing import Any

import pytest

from telemetry.logs import Format, Level, LogSettings, bound, configure

log = logging.getLogger("safs.test")


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where the process logs to; its handlers and levels are put back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []  # pytest's own, which `configure` would close
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_of_json_has_time_level_logger_and_message(stream: io.StringIO) -> None:
    configure(LogSettings(format=Format.JSON), stream)

    log.info("job %s: claimed", "job_1")

    (line,) = lines(stream)
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "INFO", "logger": "safs.test", "message": "job job_1: claimed"}


def test_what_is_bound_is_in_every_line_from_within_and_gone_after_it(stream: io.StringIO) -> None:
    configure(LogSettings(format=Format.JSON), stream)

    with bound(job="job_1", attempt=2, owner=None):
        with bound(stage="tune"):
            log.info("within", extra={"trial": 7})
        log.info("between")
    log.info("after")

    within, between, after = lines(stream)
    assert (within["job"], within["attempt"], within["stage"], within["trial"]) == ("job_1", 2, "tune", 7)
    assert (between["job"], "stage" in between, "owner" in between) == ("job_1", False, False)
    assert set(after) == {"time", "level", "logger", "message"}


def test_a_thread_that_runs_in_a_copy_of_the_context_has_it_too(stream: io.StringIO) -> None:
    configure(LogSettings(format=Format.JSON), stream)

    with bound(job="job_1"):
        thread = Thread(target=copy_context().run, args=(log.info, "from a thread"))
        thread.start()
        thread.join()

    assert [line["job"] for line in lines(stream)] == ["job_1"]


def test_an_error_is_one_line_with_its_traceback(stream: io.StringIO) -> None:
    configure(LogSettings(format=Format.JSON), stream)

    try:
        raise ValueError("no\nsuch thing")
    except ValueError:
        log.exception("it broke")

    (line,) = lines(stream)
    assert "ValueError: no\nsuch thing" in line["exc_info"]


def test_text_names_what_is_known_behind_the_message(stream: io.StringIO) -> None:
    configure(LogSettings(format=Format.TEXT), stream)

    with bound(request="r1", job="job_1"):
        log.warning("slow")

    assert stream.getvalue().endswith("WARNING slow [request=r1 job=job_1]\n")


FORGED = "a\n2026-11-22 00:00:00,000 INFO POST forged 202 [owner=bob]\x1b[31m\r\u2028\x85\u202e\ud800\x00"


@pytest.mark.parametrize("place", ["bound", "extra", "message"])
def test_what_a_caller_sends_makes_no_line_of_its_own_and_no_colours(stream: io.StringIO, place: str) -> None:
    configure(LogSettings(format=Format.TEXT), stream)

    with bound(job=FORGED if place == "bound" else None):
        log.info("GET %s", FORGED if place == "message" else "/", extra={"job": FORGED} if place == "extra" else {})

    (line,) = stream.getvalue().splitlines()
    assert line.isprintable()
    assert r"a\n2026-11-22 00:00:00,000 INFO" in line
    assert line.encode()


def test_a_value_that_looks_like_several_fields_is_in_quotes_and_others_are_as_they_are(stream: io.StringIO) -> None:
    configure(LogSettings(format=Format.TEXT), stream)

    with bound(request="müller-7", job="a] [owner=bob", attempt=2):
        log.info("über \\ alles")

    assert stream.getvalue().endswith("INFO über \\ alles [request=müller-7 job='a] [owner=bob' attempt=2]\n")


def test_lines_of_a_traceback_are_indented_and_without_control_characters(stream: io.StringIO) -> None:
    configure(LogSettings(format=Format.TEXT), stream)

    try:
        raise ValueError(FORGED)
    except ValueError:
        log.exception("it broke")

    first, *others = stream.getvalue().removesuffix("\n").split("\n")
    assert first.endswith("ERROR it broke")
    assert others[0] == "  Traceback (most recent call last):"
    assert all(line.startswith("  ") and line.isprintable() for line in others)
    assert r"  2026-11-22 00:00:00,000 INFO POST forged 202 [owner=bob]\x1b[31m" in "\n".join(others)


def test_without_a_terminal_lines_are_json_and_below_the_level_there_are_none(stream: io.StringIO) -> None:
    configure(LogSettings(level=Level.WARNING), stream)

    log.info("not this")
    log.warning("this")

    assert [line["message"] for line in lines(stream)] == ["this"]


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAFS_LOG_FORMAT", "text")
    monkeypatch.setenv("SAFS_LOG_LEVEL", "debug")

    assert LogSettings() == LogSettings(format=Format.TEXT, level=Level.DEBUG)
