"""What Prometheus scrapes."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from api.deps import Use
from api.problems import problem_responses

router = APIRouter(tags=["health"])


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **problem_responses()},
)
def metrics(use: Use) -> Response:
    """Queue, jobs, trials, faults survived, requests, disk; docs/operations.md says what to watch. Without a database
    it says so, and tells the rest."""
    return Response(use.metrics.render(), media_type=CONTENT_TYPE_PLAIN_0_0_4)
