"""Settings of the API, read from the environment with the prefix ``SAFS_``."""

from ipaddress import ip_address
from pathlib import Path

from pydantic import Field

from store.settings import StoreSettings


class ApiSettings(StoreSettings):
    """Where the API listens, and what it allows.

    >>> ApiSettings(home="/srv/safs").data_folder
    PosixPath('/srv/safs/data')
    """

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65_535)
    """0 takes any free one."""
    trusted_network: bool = False
    """Listen beyond loopback although no key is asked: everybody who reaches the address may use the service."""
    data_root: Path | None = None
    """Folder of the data sets that bring files; by default ``data`` in ``home``."""
    upload_limit_bytes: int = Field(4 * 2**30, ge=1)
    body_limit_bytes: int = Field(2**20, ge=1)
    """Of every request but uploads."""
    free_disk_bytes: int = Field(2**30, ge=0)
    """With less than this left, ``/readyz`` says that the service is not ready."""
    events_interval_s: float = Field(0.25, gt=0, le=60)
    """How often a followed job is looked at for new events."""
    keep_alive_s: float = Field(15.0, gt=0, le=30)
    """A stream of events is never silent for longer."""

    estimate_limit_s: float = Field(45.0, ge=0, le=50)
    """How long timing a job that is only checked may take; 0 times none. Clients wait for the answer, up to 60 s."""

    @property
    def data_folder(self) -> Path:
        """The folder of the data sets that bring files."""
        return (self.data_root or self.home / "data").expanduser().absolute()

    def refuse_open_network(self) -> None:
        """Raises ``PermissionError`` if anybody on the network could use the service without a key."""
        if self.trusted_network or _is_loopback(self.host):
            return
        raise PermissionError(
            f"refusing to listen on {self.host}: this service asks for no key, so everybody who reaches that address "
            "could run jobs and read results. Listen on 127.0.0.1 (SAFS_HOST) and let a reverse proxy or an SSH "
            "tunnel check who comes in, or, on a network where everybody may use it (a container's own, with its "
            "port published on 127.0.0.1), set SAFS_TRUSTED_NETWORK=true."
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
