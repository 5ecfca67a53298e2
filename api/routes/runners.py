"""The processes that run jobs, for admins."""

from fastapi import APIRouter

from api.deps import ServicesDep
from api.problems import problem_responses
from api.schemas.service import Runner
from store import runners

router = APIRouter(prefix="/v1/runners", tags=["health"])


@router.get("", summary="List runners", responses=problem_responses())
def list_runners(services: ServicesDep) -> list[Runner]:
    """Returns the runners in the order of their starts: those with a job, idle ones, and those whose heartbeat is
    overdue. A runner that ended in good order is not listed, nor one that has been lost for more than an hour."""
    return [Runner.model_validate(one) for one in services.database.query(runners.list)]
