"""Whether the service lives, and whether it can work."""

import logging
from collections.abc import Iterator

from fastapi import APIRouter

import migrations
from api.deps import Services, Use
from api.errors import NotReadyError
from api.problems import problem_responses
from api.prometheus import free_bytes
from api.schemas import HealthView
from store.errors import SchemaMissing, SchemaNewer, StoreError

_log = logging.getLogger(__name__)

router = APIRouter(tags=["health"])


@router.get("/livez", summary="Does the process answer?")
async def livez() -> HealthView:
    """Touches no database: a process that does not answer this is to be restarted."""
    return HealthView(status="ok")


@router.get("/readyz", summary="Can the service work?", responses=problem_responses("not_ready", needs_key=False))
def readyz(use: Use) -> HealthView:
    """The database answers, its schema is the one that this version needs, and there is disk space left, also for
    artifacts."""
    if lacks := list(_lacks(use)):
        raise NotReadyError("; ".join(lacks))
    return HealthView(status="ok")


def _lacks(use: Services) -> Iterator[str]:
    try:
        migrations.require_head(use.database.engine)
    except StoreError as error:
        # Who asks may be a stranger, to whom names of databases and folders are no business.
        _log.error("not ready: %s", error)
        yield _told(error)
    # Artifacts may be on a disk of their own.
    folders = {"SAFS_HOME": use.settings.home, "the artifacts": use.settings.artifacts_folder}
    free, fuller = min((free_bytes(folder), name) for name, folder in folders.items())
    if free < use.settings.free_disk_bytes:
        yield (
            f"the disk of {fuller} has {free} bytes left, less than the {use.settings.free_disk_bytes} of "
            "SAFS_FREE_DISK_BYTES"
        )


def _told(error: StoreError) -> str:
    match error:
        case SchemaMissing():
            return "the database has no schema yet, or an older one; run `safs migrate`"
        case SchemaNewer():
            return "a newer version of the program has migrated the database; install that version here too"
        case _:
            return "the database does not answer"
