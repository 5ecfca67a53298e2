"""Metrics for Prometheus."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from api.deps import ServicesDep
from api.problems import problem_responses

router = APIRouter(tags=["health"])


@router.get(
    "/metrics",
    summary="Get metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **problem_responses()},
)
def get_metrics(services: ServicesDep) -> Response:
    """Returns metrics of the queue, jobs, trials, survived faults, requests and disk; docs/operations.md lists the
    ones to watch. While the database is unavailable, `safs_database_up` is 0 and the metrics from the database are
    missing."""
    return Response(services.metrics.render(), media_type=CONTENT_TYPE_PLAIN_0_0_4)
