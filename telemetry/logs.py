"""Logs to standard error: for people as text, for programs as one JSON object a line.

What is known of the moment (which request, which job) is bound by ``bound`` once, and is in every line from within.
"""

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from typing import Any, TextIO

from opentelemetry import trace
from pydantic_settings import BaseSettings, SettingsConfigDict
from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

FIELDS = ("request", "owner", "job", "attempt", "stage", "trial", "trace_id")
"""What can be bound or given as ``extra``, and the trace that is under way."""
CHATTY = ("httpx", "httpcore", "urllib3", "fsspec", "botocore", "alembic", "matplotlib", "ray", "opentelemetry")
TEXT = "%(asctime)s %(levelname)s %(message)s%(known)s"
_WORD = re.compile(r"""[^\s=\[\]'"]+""")

_bound: ContextVar[dict[str, str | int]] = ContextVar("bound", default={})  # noqa: B039 - never changed, only replaced


class Format(StrEnum):
    """What a line of the log looks like."""

    AUTO = "auto"
    """Text on a terminal, else JSON."""
    TEXT = "text"
    JSON = "json"


class Level(StrEnum):
    """The least that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogSettings(BaseSettings):
    """Read from the environment: ``SAFS_LOG_FORMAT`` and ``SAFS_LOG_LEVEL``."""

    model_config = SettingsConfigDict(env_prefix="SAFS_LOG_", env_ignore_empty=True, extra="ignore")

    format: Format = Format.AUTO
    level: Level = Level.INFO


def configure(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Sends the logs of this process to ``stream``, by default standard error, in place of wherever they went.

    Other libraries are kept at warnings at least: at ``debug``, theirs would drown ours.
    """
    stream = stream or sys.stderr
    as_text = settings.format is Format.TEXT or (settings.format is Format.AUTO and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_TextFormatter(TEXT) if as_text else _json_formatter())
    handler.addFilter(_add_what_is_known)
    logging.basicConfig(handlers=[handler], level=settings.level.upper(), force=True)
    for library in CHATTY:
        logging.getLogger(library).setLevel(logging.WARNING)


@contextmanager
def bound(**fields: str | int | None) -> Iterator[None]:
    """While the block runs, lines of this thread or task have these of ``FIELDS``; None is left out.

    A thread that is started within has them if it runs in a copy of the context (``contextvars.copy_context``).
    """
    known = {name: value for name, value in fields.items() if value is not None}
    assert known.keys() <= set(FIELDS), known
    token = _bound.set(_bound.get() | known)
    try:
        yield
    finally:
        _bound.reset(token)


def _add_what_is_known(record: logging.LogRecord) -> bool:
    known = dict(_bound.get())
    if (context := trace.get_current_span().get_span_context()).is_valid:
        known["trace_id"] = trace.format_trace_id(context.trace_id)
    for name, value in known.items():
        record.__dict__.setdefault(name, value)  # what the line itself says of them stays
    told = [f"{name}={_word(record.__dict__[name])}" for name in FIELDS if name in record.__dict__]
    record.known = f" [{' '.join(told)}]" if told else ""
    return True


def _word(value: object) -> str:
    """``value``, in quotes if it could be taken for several fields or for the end of them."""
    text = str(value)
    return text if _WORD.fullmatch(text) and text.isprintable() else repr(text)


class _TextFormatter(logging.Formatter):
    """One line a record, whatever callers have sent; a traceback follows indented, so none of it looks like a record.

    Callers choose parts of messages (a request's path): control characters and whatever else does not print are
    escaped, so they can neither begin a line nor command the terminal.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return _printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802 - logging's name
        return _indented(super().formatStack(stack_info))


def _indented(text: str) -> str:
    return "\n".join(f"  {_printable(line)}" for line in text.split("\n"))


def _printable(text: str) -> str:
    r"""``text`` with escapes for what does not print.

    >>> _printable("naïve\nand \x1b[31mred")
    'naïve\\nand \\x1b[31mred'
    """
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _json_formatter() -> logging.Formatter:
    return JsonFormatter(
        ["levelname", "name", "message"],
        rename_fields={"levelname": "level", "name": "logger"},
        timestamp="time",
        reserved_attrs=[*RESERVED_ATTRS, "known", "color_message"],  # the latter is uvicorn's, for terminals
    )
