"""All trials of a job as one table: compact columns for charts, and CSV for spreadsheets and notebooks."""

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from io import StringIO
from typing import Any

from safs.events.kinds import Stage
from store.records import Json, TrialState
from store.trial_columns import NAMES

OPERATOR_OF = "operator:"
"""Prefix of a site in the config of a trial that searches operators and hyperparameters together."""

Columns = Mapping[str, Sequence[Any]]
"""The columns of ``store.trial_columns.read``."""

_CODED = frozenset({"stage", "state", "config", "error", "left", "recalled", "started_at", "finished_at"})
_PLAIN = tuple(name for name in NAMES if name not in _CODED)
"""The columns that are passed on as they are."""
_TABLE = ("stage", "number", "state", *_PLAIN[1:], "error", "left", "recalled", "started_at", "finished_at")
"""The columns of the CSV, without those of the configs."""


class _Codes:
    """The distinct texts of a column, numbered in the order of their first use."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        self.numbers = {text: number for number, text in enumerate(known)}

    def code(self, text: str | None) -> int | None:
        return None if text is None else self.numbers.setdefault(text, len(self.numbers))

    def __iter__(self) -> Any:
        return iter(self.numbers)


def compact(columns: Columns) -> Json:
    """The body of a ``schemas.TrialColumns``: repeated texts are numbers into lists, times are seconds."""
    stages, states = _Codes(Stage), _Codes(TrialState)
    operators, reasons, jobs = _Codes(), _Codes(), _Codes()
    sites, hyperparameters = _configs(columns)
    origin = min(columns["started_at"], default=None)
    return {
        "count": len(columns["number"]),
        "origin_at": origin,
        "stages": list(stages),
        "states": list(states),
        "columns": {
            "stage": [*map(stages.code, columns["stage"])],
            "state": [*map(states.code, columns["state"])],
            **{name: columns[name] for name in _PLAIN},
            "error": [*map(reasons.code, columns["error"])],
            "left": [*map(reasons.code, columns["left"])],
            "recalled": [*map(jobs.code, columns["recalled"])],
            "started_s": [_seconds(origin, at) for at in columns["started_at"]],
            "finished_s": [_seconds(origin, at) for at in columns["finished_at"]],
        },
        "sites": {name: [*map(operators.code, values)] for name, values in sites.items()},
        "hyperparameters": hyperparameters,
        "operators": list(operators),
        "reasons": list(reasons),
        "jobs": list(jobs),
    }


def as_csv(columns: Columns) -> str:
    """A table with a header, a row for each trial, and empty cells for missing values (RFC 4180).

    A site's column is named ``operator:`` and the site, a hyperparameter's is named after it.
    """
    sites, hyperparameters = _configs(columns)
    table = {name: columns[name] for name in _TABLE}
    for name in ("started_at", "finished_at"):
        table[name] = [at and f"{at:%Y-%m-%dT%H:%M:%S.%f}Z" for at in columns[name]]
    table |= {f"{OPERATOR_OF}{site}": values for site, values in sites.items()} | hyperparameters
    text = StringIO()
    writer = csv.writer(text)
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    return text.getvalue()


def _configs(columns: Columns) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """(site -> operators, hyperparameter -> values), each with one value or None for every trial."""
    sites: dict[str, list[Any]] = {}
    hyperparameters: dict[str, list[Any]] = {}
    count = len(columns["number"])
    places: dict[tuple[bool, str], Callable[[int, Any], None]] = {}
    for row, (stage, config) in enumerate(zip(columns["stage"], columns["config"], strict=True)):
        only_sites = stage == Stage.ACTIVATIONS
        for name, value in config.items():
            place = places.get((only_sites, name))
            if place is None:
                is_site = only_sites or name.startswith(OPERATOR_OF)
                found = (sites if is_site else hyperparameters).setdefault(
                    name.removeprefix(OPERATOR_OF), [None] * count
                )
                place = places[only_sites, name] = found.__setitem__
            place(row, value)
    return sites, hyperparameters


def _seconds(origin: datetime | None, at: datetime | None) -> float | None:
    return None if origin is None or at is None else round((at - origin).total_seconds(), 3)
