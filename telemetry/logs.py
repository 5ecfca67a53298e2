"""Logs to standard error: text for people, one JSON object per line for programs.

``bound`` adds context, such as the request or the job, to every line that is logged inside its block.
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
"""Context fields, set by ``bound`` or as ``extra``; ``trace_id`` is that of the current trace."""
LIMITED = (
    "httpx",
    "httpcore",
    "urllib3",
    "fsspec",
    "botocore",
    "alembic",
    "matplotlib",
    "ray",
    "opentelemetry",
)
"""Libraries whose loggers are limited to warnings."""
TEXT = "%(asctime)s %(levelname)s %(message)s%(context)s"
_WORD = re.compile(r"""[^\s=\[\]'"]+""")

_bound: ContextVar[dict[str, str | int]] = ContextVar("bound", default={})  # noqa: B039 - never mutated, only replaced


class Format(StrEnum):
    """Format of a log line."""

    AUTO = "auto"
    """Text if standard error is a terminal, else JSON."""
    TEXT = "text"
    JSON = "json"


class Level(StrEnum):
    """Lowest level that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogSettings(BaseSettings):
    """Settings from the environment: ``SAFS_LOG_FORMAT`` and ``SAFS_LOG_LEVEL``."""

    model_config = SettingsConfigDict(env_prefix="SAFS_LOG_", env_ignore_empty=True, extra="ignore")

    format: Format = Format.AUTO
    level: Level = Level.INFO


def configure(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Send the logs of this process to ``stream`` (default: standard error), replacing all other handlers.

    Chatty libraries are limited to warnings, also at ``debug``.
    """
    stream = stream or sys.stderr
    as_text = settings.format is Format.TEXT or (settings.format is Format.AUTO and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_TextFormatter(TEXT) if as_text else _json_formatter())
    handler.addFilter(_add_context)
    logging.basicConfig(handlers=[handler], level=settings.level.upper(), force=True)
    for library in LIMITED:
        logging.getLogger(library).setLevel(logging.WARNING)


@contextmanager
def bound(**fields: str | int | None) -> Iterator[None]:
    """Add ``fields`` (names from ``FIELDS``) to the lines that this thread or task logs in the block.

    Fields that are None are left out. A thread that is started in the block has the fields if it runs in a copy of the
    context (``contextvars.copy_context``).
    """
    given = {name: value for name, value in fields.items() if value is not None}
    assert given.keys() <= set(FIELDS), given
    token = _bound.set(_bound.get() | given)
    try:
        yield
    finally:
        _bound.reset(token)


def _add_context(record: logging.LogRecord) -> bool:
    fields = dict(_bound.get())
    if (span := trace.get_current_span().get_span_context()).is_valid:
        fields["trace_id"] = trace.format_trace_id(span.trace_id)
    for name, value in fields.items():
        record.__dict__.setdefault(name, value)  # values given as ``extra`` win
    pairs = [f"{name}={_quoted(record.__dict__[name])}" for name in FIELDS if name in record.__dict__]
    record.context = f" [{' '.join(pairs)}]" if pairs else ""
    return True


def _quoted(value: object) -> str:
    """``value`` as text, in quotes if it could be mistaken for several fields or for their end."""
    text = str(value)
    return text if _WORD.fullmatch(text) and text.isprintable() else repr(text)


class _TextFormatter(logging.Formatter):
    """One line per record, whatever the message contains; a traceback follows, indented to look like no record.

    Users choose parts of messages, such as the path of a request. Characters that are not printable are escaped, so
    they can neither start a new line nor control the terminal.
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
    r"""``text`` with escapes for characters that are not printable.

    >>> _printable("naïve\nand \x1b[31mred")
    'naïve\\nand \\x1b[31mred'
    """
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _json_formatter() -> logging.Formatter:
    return JsonFormatter(
        ["levelname", "name", "message"],
        rename_fields={"levelname": "level", "name": "logger"},
        timestamp="time",
        reserved_attrs=[*RESERVED_ATTRS, "context", "color_message"],  # uvicorn sets color_message for terminals
    )
