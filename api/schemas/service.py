"""Bodies of the service's health and state."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from api.schemas.base import Response
from store.records import JobState


class HeldJob(Response):
    """A job that a runner holds."""

    job_id: str = Field(description="Id of the job.")
    runner: str = Field(description="Name of the runner.")
    state: JobState = Field(description="State of the job.")
    stage: str | None = Field(description="Current stage; null before the first.")
    lease_left_s: float = Field(
        description="Seconds until the runner's lease expires. Each heartbeat renews it; below 0, the runner is lost."
    )


class RunnerResource(Response):
    """A resource of a runner's Ray, over all nodes of its cluster."""

    total: float = Field(description="Number of cores or GPUs, or bytes of memory.")
    free: float = Field(description="Part of `total` that no training has reserved.")


class Runner(Response):
    """A process that runs jobs, as its last heartbeat described it."""

    name: str = Field(description="Host and process id.", examples=["gpu-box:4711"])
    state: Literal["idle", "busy", "lost"] = Field(
        description="`busy` while it holds a job, `idle` otherwise, `lost` if its heartbeat is overdue."
    )
    job_id: str | None = Field(description="Job that it holds; null if it holds none.")
    stage: str | None = Field(description="Current stage of that job; null before the first.")
    started_at: datetime = Field(description="Start of the process.")
    seen_s: float = Field(description="Seconds since its last heartbeat.")
    version: str = Field(description="Version of SAFS that it runs.")
    cluster: str | None = Field(
        description="Address of the Ray cluster that it shares with other runners; null if it has a Ray of its own."
    )
    resources: dict[str, RunnerResource] = Field(
        description="`cores`, `gpus`, `memory_bytes` and `object_store_bytes` of its Ray; empty if it did not answer.",
        examples=[{"cores": {"total": 8, "free": 4}}],
    )


class ServiceStatus(BaseModel):
    """State of the service at one moment."""

    jobs: dict[JobState, int] = Field(description="Number of jobs in each state.")
    oldest_queued_s: float = Field(description="Seconds for which the next job has been queued; 0 if none is.")
    late_leases: int = Field(description="Number of jobs whose runner is lost and that no other has claimed yet.")
    held: list[HeldJob] = Field(description="Jobs that runners hold; `GET /v1/runners` has idle runners too.")
    event_streams: int = Field(description="Open event streams of this process.")
    artifacts: int = Field(description="Number of stored files.")
    artifacts_bytes: int = Field(description="Size of all stored files in bytes.")
    home_free_bytes: float = Field(description="Free bytes on the disk of SAFS_HOME.")
    artifacts_free_bytes: float = Field(description="Free bytes on the disk of the stored files.")
    versions: dict[str, str] = Field(description="Versions of Python and of the main packages, as the API has them.")


class Health(BaseModel):
    """The service works."""

    status: str = Field(description="`ok`.", examples=["ok"])
