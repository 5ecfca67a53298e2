"""The page of a finished job as one file."""

import json
from hashlib import sha256
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request, Response

from api import serializers, trial_tables
from api.conditional import not_modified
from api.deps import CallerDep, Services, ServicesDep
from api.errors import NoResultError, NotFinishedError
from api.gate.access import Caller
from api.pages.report_file import build_report
from api.pages.static_files import read_static_files
from api.problems import problem_responses
from store import events, jobs, trial_columns, trials
from store.artifacts import stored_files
from store.records import Job, JobState, Json
from store.session import Transaction

MOST_CURVES = 24
"""Learning curves in the file: those of the best trials, and of all final trainings."""
_TELLING = ("stage_started", "stage_done", "note", "worker_lost")

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"])


@router.get(
    "/report.html",
    response_class=Response,
    summary="Download the page of a finished job as one file",
    responses={
        200: {
            "content": {"text/html": {"schema": {"type": "string"}}},
            "description": "The page.",
            "headers": {"ETag": {"description": "SHA-256 of the content.", "schema": {"type": "string"}}},
        },
        304: {"description": "If-None-Match names this content."},
        **problem_responses(
            "job_not_found",
            "no_result",
            "artifact_not_found",
            "artifact_damaged",
            "storage_unavailable",
            "job_not_finished",
        ),
    },
)
async def get_report_page(services: ServicesDep, caller: CallerDep, request: Request, job_id: str) -> Response:
    """Returns the job's page with its data, scripts and style in one HTML file of about 2 MB. It opens without access
    to the service and loads nothing."""
    content = await to_thread.run_sync(_build, services, caller, job_id, limiter=services.slow_threads)
    etag = f'"{sha256(content).hexdigest()}"'
    # A file of a user's job must not run in the origin of the service, so a browser saves it and does not show it.
    headers = {
        "ETag": etag,
        "Cache-Control": "no-cache",
        "Content-Disposition": f'attachment; filename="{job_id}-report.html"',
    }
    if not_modified(request, etag):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type="text/html", headers=headers)


def _build(services: Services, caller: Caller, job_id: str) -> bytes:
    def ask(tx: Transaction) -> tuple[Job, Json, Any, Any]:
        job = jobs.get(tx, job_id, caller.visible_owner)
        columns = trial_columns.read(tx, job_id, stage=None)
        return job, columns, events.page(tx, job_id, 0, 500, kinds=_TELLING), stored_files.of_job(tx, job_id)

    job, columns, told, files = services.database.query(ask)
    if not job.state.is_final:
        raise NotFinishedError(f"job {job_id} is {job.state}; its page is available once it has succeeded")
    if job.state is not JobState.SUCCEEDED or "report" not in files:
        raise NoResultError(f"job {job_id} is {job.state} and has no report")
    answers = {
        "job": serializers.job(job),
        "columns": trial_tables.compact(columns),
        "events": told,
        "report": json.loads(services.artifacts.intact_path(files["report"].sha256).read_bytes()),
        "curves": _curves(services, job_id, columns),
    }
    return build_report(read_static_files(), answers, job.name or job_id)


def _curves(services: Services, job_id: str, columns: Json) -> Json:
    rows = zip(columns["stage"], columns["number"], columns["loss"], strict=True)
    done = sorted((row for row in rows if row[2] is not None), key=lambda row: (row[0] != "final", row[2]))
    chosen = [(stage, number) for stage, number, _ in done[:MOST_CURVES]]

    def ask(tx: Transaction) -> Json:
        return {
            f"{stage}-{number}": serializers.curve(stage, number, trials.curve(tx, job_id, stage, number))
            for stage, number in chosen
        }

    return services.database.query(ask)
