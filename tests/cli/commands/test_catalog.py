"""``safs catalog`` against the real API."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from typer.testing import Result

from cli.errors import CommandError

if TYPE_CHECKING:
    from tests.cli.conftest import Api

Safs = Callable[..., Result]


def test_without_a_kind_all_names_are_listed_by_kind(safs: Safs, api: "Api") -> None:
    listed = safs("catalog", "--url", api.url).stdout

    assert re.search(r"^scores +magnitude, gradient, synflow, lookahead, random *$", listed, re.MULTILINE)
    assert re.search(r"^granularities +weight, filter, .*, <n>:<m> *$", listed, re.MULTILINE)


def test_a_method_is_listed_with_its_options_and_their_defaults(safs: Safs, api: "Api") -> None:
    listed = safs("catalog", "methods", "--url", api.url).stdout

    assert re.search(r"^rigl +trains sparse from the start; connections move", listed, re.MULTILINE)
    assert re.search(r"^  drop +share of each layer's live weights .*\(default 0\.3\) *$", listed, re.MULTILINE)


def test_an_unknown_kind_is_answered_with_the_known_ones(safs: Safs, api: "Api") -> None:
    done = safs("catalog", "colours", "--url", api.url)

    assert isinstance(done.exception, CommandError)
    assert "Known: models, datasets, operators, methods" in str(done.exception)
