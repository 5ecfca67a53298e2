"""Bodies of a job's events."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from api.schemas.base import Response


class Event(Response):
    """An event of a job."""

    number: int = Field(description="Number of the event within its job, from 1 without gaps.")
    kind: str = Field(description="Kind of the event.", examples=["trial_done"])
    at: datetime = Field(description="Time of the event, in UTC.")
    data: dict[str, Any] = Field(description="Fields of the event; they depend on the kind.")


class EventPage(BaseModel):
    """A page of a job's events."""

    items: list[Event] = Field(description="Events in the order of their numbers.")
    next_after: int | None = Field(
        description="`after` of the request for the next page; null if no further events exist yet."
    )
