"""Response bodies as plain values in the shapes that ``api.schemas`` describes.

A page holds hundreds of items that the store has already typed. Building a validated model of each takes longer than
reading them from the database, so these bodies are not validated; tests compare them with the schemas instead.
"""

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any

from pydantic_core import to_json

from api.schemas import jobs, trials
from store.records import CurvePoint, Event, Job, JobState, Json, Trial

RESULTS = ("checkpoint", "config", "report", "picture")

Fields = Callable[[object], Json]


def _fields(*names: str) -> Fields:
    """A function that returns these attributes of a record as a dict; one ``attrgetter`` is faster than many."""
    get = attrgetter(*names)
    return lambda record: dict(zip(names, get(record), strict=True))


_OUTCOME = ("loss", "accuracy", "cross_entropy", "seconds", "error", "left")
_job_fields = _fields(*(name for name in jobs.Job.model_fields if name not in ("links", "faults", "waiting")))
_fault_fields = _fields(*jobs.Faults.model_fields)
_outcome_fields = _fields(*_OUTCOME)
_trial_fields = _fields(*(name for name in trials.Trial.model_fields if name not in (*_OUTCOME, "curve")))
_NO_OUTCOME: Json = dict.fromkeys(_OUTCOME)


def dump(body: Any) -> bytes:
    """Serialize ``body`` to JSON. It may hold records, datetimes and enums; NaN and infinities become null."""
    return to_json(body, inf_nan_mode="null")


def job(record: Job, root_path: str = "") -> Json:
    """The body of a ``schemas.jobs.Job``.

    Args:
        root_path: prefix under which clients find the service.
    """
    parts = ["trials", "events", *(RESULTS if record.state is JobState.SUCCEEDED else ())]
    if not record.state.is_final:
        parts.append("cancel")
    url = f"{root_path}/v1/jobs/{record.id}"
    values = _job_fields(record)
    values["faults"] = _fault_fields(record)
    values["waiting"] = (
        {"cores": record.cores_awaited, "jobs_before": record.jobs_before} if record.cores_awaited else None
    )
    values["links"] = {"self": url} | {part: f"{url}/{part}" for part in parts}
    return values


def trial(record: Trial, root_path: str = "") -> Json:
    """The body of a ``schemas.trials.Trial``; ``root_path`` as in ``job``."""
    values = _trial_fields(record)
    values |= _NO_OUTCOME if record.outcome is None else _outcome_fields(record.outcome)
    values["curve"] = f"{root_path}/v1/jobs/{record.job_id}/trials/{record.stage}/{record.number}/curve"
    return values


def page(items: Iterable[Json], next_token: str | None) -> Json:
    """The body of a page of a list."""
    return {"items": [*items], "next_page_token": next_token}


def curve(stage: str, number: int, points: Sequence[CurvePoint]) -> Json:
    """The body of a ``schemas.trials.Curve``; a point has the fields of ``schemas.trials.Epoch``."""
    return {"stage": stage, "number": number, "epochs": points}


def events(records: Sequence[Event], limit: int) -> Json:
    """The body of a ``schemas.events.EventPage`` with the first ``limit`` records.

    A record beyond ``limit`` shows that a next page exists. A record has the fields of ``schemas.events.Event``.
    """
    items = records[:limit]
    return {"items": items, "next_after": items[-1].number if len(records) > limit else None}
