"""Whether the service lives, and whether it can work."""

import logging
import shutil
from collections.abc import Iterator

from fastapi import APIRouter

import migrations
from api.deps import Services, Use
from api.errors import NotReadyError
from api.problems import problem_responses
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
    """The database answers, its schema is the one that this version needs, and there is disk space left."""
    if lacks := list(_lacks(use)):
        raise NotReadyError("; ".join(lacks))
    return HealthView(status="ok")


def _lacks(use: Services) -> Iterator[str]:
    try:
        migrations.require_head(use.database.engine)
    except (SchemaMissing, SchemaNewer) as error:
        yield str(error)
    except StoreError as error:
        _log.error("not ready: %s", error)
        yield "the database does not answer"
    free = shutil.disk_usage(use.settings.home).free
    if free < use.settings.free_disk_bytes:
        # Who asks may be a stranger, to whom the folder's name is no business.
        yield (
            f"the disk of SAFS_HOME has {free} bytes left, less than the {use.settings.free_disk_bytes} of "
            "SAFS_FREE_DISK_BYTES"
        )
