"""Liveness and readiness."""

import logging
from collections.abc import Iterator

from fastapi import APIRouter

import migrations
from api.deps import Services, ServicesDep
from api.errors import NotReadyError
from api.problems import problem_responses
from api.prometheus import free_bytes
from api.schemas.service import Health
from store.errors import SchemaMissing, SchemaNewer, StoreError

_log = logging.getLogger(__name__)

router = APIRouter(tags=["health"])


@router.get("/livez", summary="Check that the process responds")
async def get_liveness() -> Health:
    """Does not use the database. A process that does not respond should be restarted."""
    return Health(status="ok")


@router.get(
    "/readyz", summary="Check that the service can work", responses=problem_responses("not_ready", needs_key=False)
)
def get_readiness(services: ServicesDep) -> Health:
    """Succeeds if the database is reachable, its schema is the one of this version, and the disks of SAFS_HOME and of
    the artifacts have free space."""
    if problems := list(_problems(services)):
        raise NotReadyError("; ".join(problems))
    return Health(status="ok")


def _problems(services: Services) -> Iterator[str]:
    try:
        migrations.require_head(services.database.engine)
    except StoreError as error:
        # The client needs no key, so the response must not name databases or folders.
        _log.error("not ready: %s", error)
        yield _public_message(error)
    # Artifacts can be on another disk than the home.
    folders = {"SAFS_HOME": services.settings.home, "the artifacts": services.settings.artifacts_folder}
    free, fullest = min((free_bytes(folder), name) for name, folder in folders.items())
    if free < services.settings.free_disk_bytes:
        yield (
            f"the disk of {fullest} has {free} free bytes, fewer than the {services.settings.free_disk_bytes} of "
            "SAFS_FREE_DISK_BYTES"
        )


def _public_message(error: StoreError) -> str:
    match error:
        case SchemaMissing():
            return "the database has no schema or an older one; run `safs migrate`"
        case SchemaNewer():
            return "a newer version of the program has migrated the database; install that version here"
        case _:
            return "the database is unavailable"
