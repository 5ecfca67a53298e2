"""What endpoints need, and where it comes from."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Protocol

from anyio import CapacityLimiter
from fastapi import Depends, Query, Request

from api.event_tail import Line, Tail
from api.gate.access import Caller
from api.gate.concurrency import Places
from api.prometheus import Metrics
from api.settings import ApiSettings
from safs.catalog import CatalogEntry
from safs.estimates import Estimate
from safs.preflight import Preflight
from safs.spec.job import JobSpec
from store.artifacts.stored_files import ArtifactStore
from store.session import Database

UPLOADS_AT_ONCE = 8
"""Each holds a thread while it lasts; the threads are not those that answer other requests."""
UPLOADS_OF_ONE = 2
SLOW_AT_ONCE = 8
"""Checks, timings and downloads, which take a thread for longer than others should wait for one."""
ANSWERING_THREADS = 4
"""More would not answer sooner: they wait for each other, for the interpreter and for connections to the database."""


class Check(Protocol):
    """``safs.preflight.check``."""

    def __call__(self, spec: JobSpec, *, data_root: Path | None, weights: Path | None) -> Preflight: ...


Estimator = Callable[[JobSpec, Preflight], Estimate]
"""``safs.estimates.estimate_in_subprocess``."""
Catalog = Callable[[], dict[str, list[CatalogEntry]]]


@dataclass(frozen=True, slots=True)
class Services:
    """What lives as long as the app."""

    settings: ApiSettings
    database: Database
    artifacts: ArtifactStore
    tail: Tail[Line]
    check: Check
    estimate: Estimator
    catalog: Catalog
    metrics: Metrics
    checks: Places = field(default_factory=lambda: Places("checks of jobs", 1, 1))
    """torch.fx patches ``nn.Module`` while it traces, so only one job at a time can be checked."""
    estimates: Places = field(default_factory=lambda: Places("estimates", 1, 1))
    """Two that are timed at once would both seem slow."""
    uploads: Places = field(default_factory=lambda: Places("uploads", UPLOADS_AT_ONCE, UPLOADS_OF_ONE))
    upload_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(UPLOADS_AT_ONCE))
    slow_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(SLOW_AT_ONCE))


# Both are coroutines because FastAPI runs what is not in a thread, which costs more than they do.
async def services(request: Request) -> Services:
    """The services of the app that answers ``request``."""
    found: Services = request.app.state.services
    return found


async def caller(request: Request) -> Caller:
    """Who makes the request."""
    found: Caller = request.state.caller
    return found


Use = Annotated[Services, Depends(services)]
Who = Annotated[Caller, Depends(caller)]
PageToken = Annotated[str | None, Query(description="`next_page_token` of the page before.", max_length=500)]
Limit = Annotated[int, Query(ge=1, le=500, description="Most items of a page.")]
