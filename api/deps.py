"""Dependencies that FastAPI injects into endpoints."""

from dataclasses import dataclass, field
from typing import Annotated

from anyio import CapacityLimiter
from fastapi import Depends, Query, Request

from api.checks.checker import Checker
from api.event_tail import EncodedEvent, Tail
from api.exports import Exports
from api.gate.access import Caller
from api.gate.concurrency import ConcurrencyLimit
from api.prometheus import Metrics
from api.settings import ApiSettings
from store.artifacts.stored_files import ArtifactStore
from store.session import Database

MAX_UPLOADS = 8
"""Uploads received at the same time. Each holds a thread of ``Services.upload_threads`` until it ends."""
MAX_UPLOADS_PER_OWNER = 2
"""Uploads that one owner can have running or waiting for a slot."""
SLOW_THREADS = 8
"""Threads for checks, estimates and downloads, which would hold a request thread for too long."""
REQUEST_THREADS = 4
"""Threads that answer requests. More are not faster, because they wait for each other, for the interpreter and for
database connections."""


@dataclass(frozen=True, slots=True)
class Services:
    """Objects that live as long as the app."""

    settings: ApiSettings
    database: Database
    artifacts: ArtifactStore
    tail: Tail[EncodedEvent]
    checker: Checker
    metrics: Metrics
    exports: Exports
    checks: ConcurrencyLimit = field(default_factory=lambda: ConcurrencyLimit("job checks", 1, per_owner=1))
    """One check at a time, since each takes a core."""
    estimates: ConcurrencyLimit = field(default_factory=lambda: ConcurrencyLimit("estimates", 1, per_owner=1))
    """One estimate at a time, because two that run together slow each other down and would both be wrong."""
    uploads: ConcurrencyLimit = field(
        default_factory=lambda: ConcurrencyLimit("uploads", MAX_UPLOADS, per_owner=MAX_UPLOADS_PER_OWNER)
    )
    upload_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(MAX_UPLOADS))
    slow_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(SLOW_THREADS))


# Both are coroutines because FastAPI runs plain functions in a thread, which costs more than the functions.
async def _services(request: Request) -> Services:
    found: Services = request.app.state.services
    return found


async def _caller(request: Request) -> Caller:
    found: Caller = request.state.caller
    return found


ServicesDep = Annotated[Services, Depends(_services)]
CallerDep = Annotated[Caller, Depends(_caller)]
PageToken = Annotated[
    str | None, Query(description="`next_page_token` of the previous page. Without it, the first page.", max_length=500)
]
Limit = Annotated[int, Query(ge=1, le=500, description="Maximum number of items on the page, 1 to 500.")]
