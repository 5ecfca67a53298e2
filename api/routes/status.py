"""The state of the service, for admins."""

import platform
from importlib.metadata import version

from fastapi import APIRouter

from api.deps import ServicesDep
from api.problems import problem_responses
from api.prometheus import free_bytes
from api.schemas.service import HeldJob, ServiceStatus
from store import jobs, statistics
from store.session import Transaction

VERSIONS = ("safs-service", "torch", "ray", "fastapi", "sqlalchemy")
"""Packages whose versions are shown."""

router = APIRouter(prefix="/v1/status", tags=["health"])


@router.get("", summary="Get the state of the service", responses=problem_responses())
def get_status(services: ServicesDep) -> ServiceStatus:
    """Returns the queue, the jobs that runners hold, disk space and versions. `/metrics` has more, for Prometheus."""

    def ask(tx: Transaction) -> tuple[statistics.Statistics, tuple[jobs.Held, ...]]:
        return statistics.read(tx), jobs.held(tx)

    found, held = services.database.query(ask)
    settings = services.settings
    return ServiceStatus(
        jobs=found.jobs,
        oldest_queued_s=found.oldest_queued_s,
        late_leases=found.late_leases,
        held=[HeldJob.model_validate(one) for one in held],
        event_streams=services.tail.listeners,
        artifacts=found.artifacts,
        artifacts_bytes=found.artifacts_bytes,
        home_free_bytes=free_bytes(settings.home),
        artifacts_free_bytes=free_bytes(settings.artifacts_folder),
        versions={"python": platform.python_version()} | {name: version(name) for name in VERSIONS},
    )
