"""The settings of a runner, read from its environment."""

import os
import socket
from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from store.settings import StoreSettings


class WorkerSettings(StoreSettings):
    """Settings with the prefix ``SAFS_``, such as ``SAFS_RAY_ADDRESS``, ``SAFS_DATA_ROOT`` and ``SAFS_LEASE_S``."""

    ray_address: str | None = None
    """Address of the Ray cluster that this machine is a node of, such as ``auto``; None starts a local Ray."""
    data_root: Path | None = None
    """Folder of the data sets that are read from files; None is ``data`` in ``home``."""
    cpus: int | None = Field(None, ge=1)
    """Cores of a local Ray; None is all cores that this process may run on."""
    worker_niceness: int = Field(5, ge=0, le=19)
    """Niceness of a local Ray's workers. Nodes of a cluster read ``RAY_worker_niceness`` when ``ray start`` runs."""
    worker_idle_s: float = Field(300.0, ge=0)
    """Seconds that a runner keeps its Ray workers after a job, for the next job of the same owner with the same share
    of cores and GPUs; 0 keeps none."""
    worker_orders: int = Field(1000, ge=1)
    """Number of trainings and evaluations after which a Ray worker ends with its job."""
    worker_growth_bytes: int = Field(2**30, ge=0)
    """Growth of a Ray worker's memory since its start, in bytes, beyond which the next job gets a new one."""
    lease_s: float = Field(30.0, ge=1)
    """Seconds after its last renewal at which a lease expires. Then another runner may claim the job."""
    heartbeat_s: float = Field(10.0, gt=0)
    """Seconds between two renewals of the lease; at most half of ``lease_s``."""
    poll_s: float = Field(0.5, gt=0)
    """Seconds between two looks of an idle runner at the queue, and between two retries during an outage."""

    @field_validator("ray_address")
    @classmethod
    def _no_ray_client(cls, address: str | None) -> str | None:
        if address is not None and address.startswith("ray://"):
            raise ValueError(
                f"SAFS_RAY_ADDRESS is {address!r}, a Ray Client address; a runner must run on a node of the cluster. "
                "Start a node there (ray start --address HEAD:6379 --num-cpus 0) and set SAFS_RAY_ADDRESS=auto"
            )
        return address or None

    @model_validator(mode="after")
    def _renewed_in_time(self) -> Self:
        if self.heartbeat_s > self.lease_s / 2:
            raise ValueError(
                f"SAFS_HEARTBEAT_S ({self.heartbeat_s:g}) must be at most half of SAFS_LEASE_S ({self.lease_s:g}), or "
                "one late heartbeat loses the job"
            )
        return self

    @property
    def data_folder(self) -> Path:
        """Folder of the data sets that are read from files."""
        return self.data_root or self.home / "data"

    @property
    def local_cpus(self) -> int:
        """Number of cores of a local Ray."""
        return self.cpus or len(os.sched_getaffinity(0))

    @property
    def name(self) -> str:
        """Name of this runner in the rows of its jobs: host and process id."""
        return f"{socket.gethostname()}:{os.getpid()}"
