"""Docstrings and comments stand alone: a reader who sees one in a tooltip understands it (STYLE: language)."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("safs", "search_spaces", "store", "workers", "api", "cli", "migrations", "telemetry", "benchmarks", "tests")
DANGLING = re.compile(r"(Of|Whether|Who|What|That|How|So many|So long) ")
"""Openings that refer to the line above, which a tooltip does not show."""


def docstrings(source: str) -> Iterator[tuple[int, str]]:
    """(line, text) of every docstring, and of every string below an assignment that documents it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


def test_no_docstring_begins_with_a_clause_that_needs_the_line_above() -> None:
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]

    dangling = [
        f"{path.relative_to(ROOT)}:{line}: {text.splitlines()[0]}"
        for path in files
        for line, text in docstrings(path.read_text())
        if DANGLING.match(text)
    ]

    assert len(files) > 500
    assert not dangling, "\n".join(dangling)


def test_a_dangling_docstring_is_found() -> None:
    source = "limit_s = 3.0\n'''Of what has none.'''\n"

    assert [bool(DANGLING.match(text)) for _, text in docstrings(source)] == [True]
