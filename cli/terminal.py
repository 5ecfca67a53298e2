"""Consoles of the commands, and text that is safe to show on them."""

import json
import os
import sys
from typing import Any
from unicodedata import category

from rich.console import Console
from rich.table import Table
from rich.text import Text

_SHOWN = frozenset("\n\t\u200c\u200d")
"""Control and format characters that do no harm: line breaks, tabs, and joiners of letters and emoji."""
_WIDE = 100_000
"""Columns of a file or a pipe, which have no width."""


class SafeConsole(Console):
    """A console that takes text as it is: no markup in brackets, no emoji in colons, no control characters.

    Names, paths and messages come from users and files. As markup, ``[/srv]`` would be an error, and an escape sequence
    could do anything to a terminal.

    Args:
        survives: keep quiet instead of ending the process when the reader of the output is gone.
    """

    def __init__(self, *, survives: bool = False, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)
        self._survives = survives

    def render_str(self, text: str, **options: Any) -> Text:
        """The text with its control characters escaped."""
        return super().render_str(visible(text), **options)

    def on_broken_pipe(self) -> None:
        """Called when the reader of the output is gone."""
        if not self._survives:
            super().on_broken_pipe()
        self._discard()

    def print(self, *objects: Any, **options: Any) -> None:
        """Prints as ``Console.print``. With ``survives``, a closed terminal is handled like a reader that is gone."""
        try:
            super().print(*objects, **options)
        except OSError:
            if not self._survives:
                raise
            self._discard()

    def print_uncut(self, table: Table) -> None:
        """Prints a table at its full width: its lines may be longer than the terminal's, but no cell is shortened."""
        terminal = self.width
        self.width = _WIDE
        try:
            self.print(table)
        finally:
            self.width = terminal

    def _discard(self) -> None:
        """Sends this output to nowhere from now on."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.file.fileno())
        os.close(nowhere)


def stdout(*, survives: bool = False) -> SafeConsole:
    """A console on standard output. Without a terminal it writes plain text and wraps no line."""
    return SafeConsole(survives=survives, width=None if sys.stdout.isatty() else _WIDE)


def stderr() -> SafeConsole:
    """A console on standard error."""
    return SafeConsole(stderr=True)


def print_json(value: Any) -> None:
    """Prints a value as JSON, for programs. Control characters and non-ASCII characters are escaped."""
    print(json.dumps(value, indent=2, allow_nan=False))


def styled(text: str, style: str = "") -> Text:
    """Text in one style, with its control characters escaped."""
    return Text(visible(text), style=style)


def visible(text: str) -> str:
    """The text with escapes for control characters, invisible format characters and bytes that are not UTF-8.

    >>> print(visible("run\\x1b[31m 7\\u202e"))
    run\\x1b[31m 7\\u202e
    """
    if text.isprintable():
        return text
    return "".join(char if char in _SHOWN or not _is_hidden(char) else _escaped(char) for char in text)


def _is_hidden(char: str) -> bool:
    return category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def _escaped(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
