"""Orders of the list of jobs. Jobs with equal or missing values are listed newest first; missing values come last."""

from collections.abc import Sequence
from enum import StrEnum
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Double, Integer, Text, and_, bindparam, case, func, or_

from store.paging import FreeText, Part
from store.records import JobState
from store.tables import jobs

SORTED_LETTERS = 64
"""Letters of a name that its place in the list depends on."""


class JobOrder(StrEnum):
    """Order of a list of jobs; a minus means the largest first."""

    NEWEST = "newest"
    OLDEST = "oldest"
    NAME = "name"
    NAME_DESCENDING = "-name"
    STATE = "state"
    STATE_DESCENDING = "-state"
    SPARSITY = "sparsity"
    SPARSITY_DESCENDING = "-sparsity"
    ACCURACY = "accuracy"
    ACCURACY_DESCENDING = "-accuracy"
    GAIN = "gain"
    GAIN_DESCENDING = "-gain"

    @property
    def is_descending(self) -> bool:
        """True if the largest value comes first."""
        return self is JobOrder.NEWEST or self.startswith("-")

    @property
    def by(self) -> str:
        """The value that decides: a key of ``_VALUES``, or ``id`` for the order of submission."""
        return "id" if self in (JobOrder.NEWEST, JobOrder.OLDEST) else self.removeprefix("-")

    @property
    def kind(self) -> str:
        """Name of the list in page tokens."""
        names = {JobOrder.NEWEST: "jobs", JobOrder.OLDEST: "jobs_oldest_first"}
        return names.get(self, f"jobs_by_{self}")


def key_types(order: JobOrder) -> tuple[type[Part], ...]:
    """Types of the parts of a page token's key."""
    return (str,) if order.by == "id" else (int, _TYPES[order.by][0], str)


@cache
def key_columns(order: JobOrder) -> tuple[ColumnElement[Any], ...]:
    """Columns that identify the place of a job: (1 if the value is missing, value or a default, id), or the id."""
    if order.by == "id":
        return (jobs.c.id,)
    value, default = _VALUES[order.by], _TYPES[order.by][2]
    return case((value.is_(None), 1), else_=0), func.coalesce(value, default), jobs.c.id


@cache
def sorting(order: JobOrder) -> Sequence[ColumnElement[Any]]:
    """The expressions of ORDER BY."""
    *missing, value = key_columns(order)[:2]
    direction = value.desc() if order.is_descending else value.asc()
    return (*missing, direction) if order.by == "id" else (*missing, direction, jobs.c.id.desc())


@cache
def behind(order: JobOrder) -> ColumnElement[bool]:
    """The condition for jobs behind the place in the parameters ``last_missing``, ``last_value`` and ``last_id``."""
    last_id = bindparam("last_id", type_=Text)
    if order.by == "id":
        return jobs.c.id < last_id if order.is_descending else jobs.c.id > last_id
    missing, value, _ = key_columns(order)
    last_missing = bindparam("last_missing", type_=Integer)
    last_value: ColumnElement[Any] = bindparam("last_value", type_=_TYPES[order.by][1])
    further = value < last_value if order.is_descending else value > last_value
    return or_(
        missing > last_missing,
        and_(missing == last_missing, or_(further, and_(value == last_value, jobs.c.id < last_id))),
    )


_RESULT = jobs.c.result
_VALUES: dict[str, ColumnElement[Any]] = {
    "name": func.substr(func.lower(jobs.c.name), 1, SORTED_LETTERS),
    "state": case({state: place for place, state in enumerate(JobState)}, value=jobs.c.state),
    "sparsity": jobs.c.spec["sparsity"].as_float(),
    "accuracy": func.coalesce(_RESULT["test_accuracy"].as_float(), _RESULT["validation_accuracy"].as_float()),
    "gain": func.coalesce(_RESULT[("gain", "test")].as_float(), _RESULT[("gain", "validation")].as_float()),
}
_TYPES: dict[str, tuple[type[Part], Any, Part]] = {
    "name": (FreeText, Text, ""),
    "state": (int, Integer, 0),
    "sparsity": (float, Double, 0.0),
    "accuracy": (float, Double, 0.0),
    "gain": (float, Double, 0.0),
}
"""Type of the value in a page token, type of its column, and what stands for a missing value."""
