"""Bodies of the service's health and state."""

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


class ServiceStatus(BaseModel):
    """State of the service at one moment."""

    jobs: dict[JobState, int] = Field(description="Number of jobs in each state.")
    oldest_queued_s: float = Field(description="Seconds for which the next job has been queued; 0 if none is.")
    late_leases: int = Field(description="Number of jobs whose runner is lost and that no other has claimed yet.")
    held: list[HeldJob] = Field(description="Jobs that runners hold. Idle runners leave no trace.")
    event_streams: int = Field(description="Open event streams of this process.")
    artifacts: int = Field(description="Number of stored files.")
    artifacts_bytes: int = Field(description="Size of all stored files in bytes.")
    home_free_bytes: float = Field(description="Free bytes on the disk of SAFS_HOME.")
    artifacts_free_bytes: float = Field(description="Free bytes on the disk of the stored files.")
    versions: dict[str, str] = Field(description="Versions of Python and of the main packages, as the API has them.")


class Health(BaseModel):
    """The service works."""

    status: str = Field(description="`ok`.", examples=["ok"])
