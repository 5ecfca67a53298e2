"""The bodies of answers, as they are serialised: plain values of the shapes that ``api.schemas`` describes.

A page holds hundreds of items that the store has typed already. To make a checked model of each took longer than to
find them in the database, so nothing is checked here; tests hold these against the schemas.
"""

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any

from pydantic_core import to_json

from api.schemas import FaultsView, JobView, TrialView
from store.records import CurvePoint, Event, Job, JobState, Json, Trial

RESULTS = ("checkpoint", "config", "report", "picture")

Fields = Callable[[object], Json]


def _fields(*names: str) -> Fields:
    """Takes these attributes of a record; of hundreds of records that is quicker than one attribute at a time."""
    take = attrgetter(*names)
    return lambda record: dict(zip(names, take(record), strict=True))


_OUTCOME = ("loss", "accuracy", "cross_entropy", "seconds", "error", "left")
_of_job = _fields(*(name for name in JobView.model_fields if name not in ("links", "faults")))
_of_faults = _fields(*FaultsView.model_fields)
_of_outcome = _fields(*_OUTCOME)
_of_trial = _fields(*(name for name in TrialView.model_fields if name not in (*_OUTCOME, "curve")))
_NOTHING_FOUND: Json = dict.fromkeys(_OUTCOME)


def dump(body: Any) -> bytes:
    """``body`` as JSON; it may hold records, moments and states."""
    return to_json(body, inf_nan_mode="null")


def job(told: Job) -> Json:
    """A ``JobView``."""
    parts = ["trials", "events", *(RESULTS if told.state is JobState.SUCCEEDED else ())]
    if not told.state.is_final:
        parts.append("cancel")
    here = f"/v1/jobs/{told.id}"
    values = _of_job(told)
    values["faults"] = _of_faults(told)
    values["links"] = {"self": here} | {part: f"{here}/{part}" for part in parts}
    return values


def trial(told: Trial) -> Json:
    """A ``TrialView``."""
    values = _of_trial(told)
    values |= _NOTHING_FOUND if told.outcome is None else _of_outcome(told.outcome)
    values["curve"] = f"/v1/jobs/{told.job_id}/trials/{told.stage}/{told.number}/curve"
    return values


def page(items: Iterable[Json], next_token: str | None) -> Json:
    """A ``Page``."""
    return {"items": [*items], "next_page_token": next_token}


def curve(stage: str, number: int, points: Sequence[CurvePoint]) -> Json:
    """A ``CurveView``: a point is an ``EpochView`` as it stands."""
    return {"stage": stage, "number": number, "epochs": points}


def events(found: Sequence[Event], limit: int) -> Json:
    """An ``EventPage`` of the first ``limit``; one more than that shows that there is a next page.

    An event is an ``EventView`` as it stands.
    """
    items = found[:limit]
    return {"items": items, "next_after": items[-1].number if len(found) > limit else None}
