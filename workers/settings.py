"""What a runner reads from its environment."""

import os
import socket
from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from store.settings import StoreSettings


class WorkerSettings(StoreSettings):
    """Prefix ``SAFS_``: ``SAFS_RAY_ADDRESS``, ``SAFS_DATA_ROOT``, ``SAFS_CPUS``, ``SAFS_LEASE_S`` ..."""

    ray_address: str | None = None
    """Of the Ray cluster that this machine is a node of, such as ``auto``; by default a local Ray is started."""
    data_root: Path | None = None
    """Folder of the data sets that bring files; by default ``data`` in ``home``."""
    cpus: int | None = Field(None, ge=1)
    """Cores that a local Ray may use; by default all that this process may run on."""
    lease_s: float = Field(30.0, ge=1)
    """A runner that has not renewed its lease for this long is taken for dead."""
    heartbeat_s: float = Field(10.0, gt=0)
    """How often it renews."""
    poll_s: float = Field(0.5, gt=0)
    """How often an idle runner looks for a job."""

    @field_validator("ray_address")
    @classmethod
    def _no_ray_client(cls, address: str | None) -> str | None:
        if address is not None and address.startswith("ray://"):
            raise ValueError(
                "SAFS_RAY_ADDRESS is a Ray Client address; a runner must run on a node of the cluster. Start one there "
                "(ray start --address HEAD:6379 --num-cpus 0) and set SAFS_RAY_ADDRESS=auto"
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
        """Where data sets are looked for."""
        return (self.data_root or self.home / "data").expanduser()

    @property
    def local_cpus(self) -> int:
        """Cores of a local Ray."""
        return self.cpus or len(os.sched_getaffinity(0))

    @property
    def name(self) -> str:
        """Who this runner is, in the job's row."""
        return f"{socket.gethostname()}:{os.getpid()}"
