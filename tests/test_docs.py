"""The docs describe every choice of a job, its default, every error, and the commands that print JSON."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from typer.main import get_command

from cli.main import make_app
from safs.errors import Cancelled, Interrupted, SafsError
from safs.pruning.axes.distributions import DISTRIBUTIONS
from safs.pruning.axes.granularity import GRANULARITIES
from safs.pruning.axes.schedules import PRUNING_SCHEDULES
from safs.pruning.axes.scores import SCORES
from safs.pruning.methods.composed import OneShotOptions
from safs.pruning.pruners import PRUNERS
from safs.search import STRATEGIES
from safs.spec.job import JobSpec
from safs.spec.options import described
from safs.spec.pruning import PruneSearchSpec
from safs.spec.target import TargetSpec

DOCS = Path(__file__).parent.parent / "docs"
METHODS = (DOCS / "methods.md").read_text()
JOBS = (DOCS / "jobs.md").read_text()
CLIENT = (DOCS / "client.md").read_text()
ALL_STAGES = {"activations", "tune", "joint"}


def section(title: str, text: str = METHODS) -> str:
    """The text under the heading that holds ``title``, up to the next heading."""
    sections = re.split(r"^(#+ .*)$", text, flags=re.MULTILINE)
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
def test_every_option_of_a_method_is_documented_with_its_default(method: str) -> None:
    documented = {row[0].strip("`"): row[1] for row in rows(section(f"`{method}`"))}

    for option, description in PRUNERS[method].options.items():
        assert documented.get(option) == default_of(description), option


@pytest.mark.parametrize("schedule", PRUNING_SCHEDULES)
def test_every_option_of_a_schedule_is_documented_with_its_default(schedule: str) -> None:
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
def test_every_name_of_an_axis_is_documented(title: str, registry: dict[str, object]) -> None:
    documented = [row[0] for row in rows(section(title))]

    assert {f"`{name}`" for name in registry} <= set(documented)


def test_the_fields_of_a_job_name_every_method() -> None:
    for name in (*PRUNERS, *SCORES, *DISTRIBUTIONS, *PRUNING_SCHEDULES, *GRANULARITIES):
        assert f"`{name}`" in JOBS, name


def test_the_whole_spec_is_shown_as_balanced_fills_it() -> None:
    shown = yaml.safe_load(re.findall(r"^```yaml\n(.*?)^```", JOBS, flags=re.DOTALL | re.MULTILINE)[0])

    given = {section: shown[section] for section in ("model", "data", "sparsity")}
    assert JobSpec.model_validate(given).model_dump(mode="json") == shown


def test_every_field_of_a_job_has_a_row_and_every_row_is_a_field() -> None:
    documented = [row[0].strip("`") for row in rows(section("Fields", JOBS))[1:]]

    assert Counter(documented) == Counter(fields_of(JobSpec))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_has_a_row_with_what_it_searches(strategy: str) -> None:
    (row,) = [row for row in rows(section("Search strategies", JOBS)) if row[0] == f"`{strategy}`"]

    assert (ALL_STAGES if row[1] == "all" else set(re.findall(r"`(\w+)`", row[1]))) == set(STRATEGIES[strategy].stages)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_option_of_a_strategy_is_documented_with_its_default(strategy: str) -> None:
    documented = [row[1:3] for row in rows(section("Options of strategies", JOBS)) if row[0] == f"`{strategy}`"]

    options = described(STRATEGIES[strategy].options)
    assert documented == [[f"`{option}`", default_of(description)] for option, description in options.items()]


def test_every_error_of_a_job_has_one_row() -> None:
    documented = [row[0].strip("`") for title in ("refused", "fails") for row in rows(section(title, JOBS))]

    assert [code for code, times in Counter(documented).items() if times > 1] == ["code"]  # the heading of both tables
    # Errors of other modules are caught where trainings run, and become outcomes.
    raised = {kind.code for kind in kinds_of(SafsError) if kind.__module__ == SafsError.__module__}
    raised -= {Interrupted.code, Cancelled.code}
    assert raised <= set(documented)


def test_every_command_with_json_is_listed() -> None:
    with_json = {name for name, options in commands(get_command(make_app()), "safs") if "--json" in options}
    (listed,) = re.findall(r"^`--json` prints JSON.*?\n\n", CLIENT, flags=re.DOTALL | re.MULTILINE)

    assert set(re.findall(r"`(safs [\w ]+)`", listed)) == with_json


def commands(command: Any, name: str) -> Iterator[tuple[str, set[str]]]:
    """The full name of each command below ``command``, with its options."""
    for part, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{name} {part}")
    yield name, {option for parameter in command.params for option in parameter.opts}


def fields_of(kind: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted paths of a job spec's values; ``prune.recipe`` is one, since its fields are those of ``train``."""
    for name, field in kind.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from fields_of(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
        for optional in (PruneSearchSpec, TargetSpec):
            if field.annotation == optional | None:
                yield from fields_of(optional, f"{prefix}{name}.")


def kinds_of(error: type[SafsError]) -> Iterator[type[SafsError]]:
    for kind in error.__subclasses__():
        yield kind
        yield from kinds_of(kind)
