"""docs/methods.md names all that a job can choose for its pruning, with the defaults of the catalogue."""

import re
from pathlib import Path

import pytest

from safs.options import described
from safs.pruning import DISTRIBUTIONS, PRUNERS
from safs.pruning.composed import OneShotOptions
from safs.pruning.granularity import GRANULARITIES
from safs.pruning.schedules import PRUNING_SCHEDULES
from safs.pruning.scores import SCORES

DOCS = Path(__file__).parent.parent / "docs"
TEXT = (DOCS / "methods.md").read_text()


def section(title: str) -> str:
    """The text under the heading that holds ``title``, up to the next heading."""
    sections = re.split(r"^(#+ .*)$", TEXT, flags=re.MULTILINE)
    found = [text for heading, text in zip(sections[1::2], sections[2::2], strict=True) if title in heading]
    assert len(found) == 1, f"{len(found)} headings hold {title!r}"
    return found[0]


def rows(text: str) -> list[list[str]]:
    """Cells of the tables' rows."""
    lines = [line.strip("|") for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.split(" |")] for line in lines]


def default_of(description: str) -> str:
    found = re.search(r"\(default (.*)\)$", description)
    assert found is not None
    return found[1].lower() if found[1] in ("None", "True", "False") else found[1]


@pytest.mark.parametrize("method", PRUNERS)
def test_every_method_has_a_section_and_a_row(method: str) -> None:
    assert f"method: {method}" in section(f"`{method}`")
    assert any(f"[`{method}`" in row[0] or f", `{method}`]" in row[0] for row in rows(section("Which one")))


@pytest.mark.parametrize("method", [name for name in PRUNERS if PRUNERS[name].options != described(OneShotOptions)])
def test_every_option_of_a_method_is_told_with_its_default(method: str) -> None:
    told = {row[0].strip("`"): row[1] for row in rows(section(f"`{method}`"))}

    for option, description in PRUNERS[method].options.items():
        assert told.get(option) == default_of(description), option


@pytest.mark.parametrize("schedule", PRUNING_SCHEDULES)
def test_every_option_of_a_schedule_is_told_with_its_default(schedule: str) -> None:
    kind = OneShotOptions if schedule == "one_shot" else PRUNING_SCHEDULES[schedule].options
    table = [row for row in rows(section("Schedule")) if len(row) == 4]

    for option, description in described(kind).items():
        assert [f"`{option}`", default_of(description)] in [[r[0], r[2]] for r in table if f"`{schedule}`" in r[1]]


@pytest.mark.parametrize(
    ("title", "registry"),
    [
        ("Score", SCORES),
        ("Distribution", DISTRIBUTIONS),
        ("Schedule", PRUNING_SCHEDULES),
        ("Granularity", GRANULARITIES),
    ],
)
def test_every_name_of_an_axis_is_told(title: str, registry: dict[str, object]) -> None:
    told = [row[0] for row in rows(section(title))]

    assert {f"`{name}`" for name in registry} <= set(told)


def test_the_fields_of_a_job_name_every_method() -> None:
    fields = (DOCS / "jobs.md").read_text()

    for name in (*PRUNERS, *SCORES, *DISTRIBUTIONS, *PRUNING_SCHEDULES, *GRANULARITIES):
        assert f"`{name}`" in fields, name
