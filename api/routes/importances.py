"""Importance of hyperparameters and sites in a job's searches."""

from anyio import to_thread
from fastapi import APIRouter

from api.checks.requests import Trial
from api.deps import CallerDep, ServicesDep
from api.problems import problem_responses
from api.schemas.trials import Importances
from safs.events.kinds import Stage
from store import jobs, trial_columns
from store.records import Json
from store.session import Transaction

router = APIRouter(prefix="/v1/jobs/{job_id}/importances", tags=["trials"])


@router.get(
    "/{stage}",
    summary="Get the importances of a search's hyperparameters and sites",
    responses=problem_responses("job_not_found", "invalid_request", "not_ready"),
)
async def get_importances(services: ServicesDep, caller: CallerDep, job_id: str, stage: Stage) -> Importances:
    """Returns the share of the differences between trials that each hyperparameter and each site explains (optuna's
    PED-ANOVA), from the finished trials of a stage, compared with trials of as many epochs."""

    def compute() -> Importances:
        columns = services.database.query(lambda tx: _columns(tx, job_id, stage, caller.visible_owner))
        rows = zip(columns["config"], columns["epochs"], columns["accuracy"], strict=True)
        scored = [
            Trial(config=config, epochs=epochs, accuracy=accuracy)
            for config, epochs, accuracy in rows
            if accuracy is not None
        ]
        return Importances(stage=stage, trials=len(scored), shares=services.checker.importances(scored))

    return await to_thread.run_sync(compute, limiter=services.slow_threads)


def _columns(tx: Transaction, job_id: str, stage: Stage, owner: str | None) -> Json:
    jobs.state_of(tx, job_id, owner)
    return trial_columns.read(tx, job_id, stage=stage)
