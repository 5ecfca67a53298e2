"""Settings of the API, read from the environment with the prefix ``SAFS_``."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from api.gate.access import is_loopback
from store import api_keys
from store.errors import SchemaMissing
from store.session import Database
from store.settings import StoreSettings


class ApiSettings(StoreSettings):
    """Where the API listens, and what it allows.

    >>> ApiSettings(home="/srv/safs").data_folder
    PosixPath('/srv/safs/data')
    """

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65_535)
    """0 takes any free one."""
    requests_per_minute: int = Field(600, ge=1)
    """Of each key that says nothing else; it also bounds how many come at once."""
    queued_jobs: int = Field(100, ge=0)
    """Of each owner, in the queue at a time."""
    gpu_hours: float | None = Field(None, ge=0)
    """Of each owner, within 30 days; none by default."""
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins, such as https://safs.example.org, whose pages may call this API; separated by commas."""
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
        """Raises ``PermissionError`` if the API would listen beyond loopback and nobody has a key."""
        if is_loopback(self.host) or self._has_usable_key():
            return
        raise PermissionError(
            f"refusing to listen on {self.host or 'all addresses'}: there is no API key that can be used yet. "
            "Make one with `safs keys create --owner NAME --scopes submit,read`, in the same SAFS_HOME and "
            "SAFS_DATABASE_URL; or listen on 127.0.0.1 (SAFS_HOST), where this machine's own programs need none."
        )

    def _has_usable_key(self) -> bool:
        """Makes no database where there is none."""
        if self.database_url.startswith("sqlite:///") and not Path(self.database_url[len("sqlite:///") :]).exists():
            return False
        database = Database(self.database_url)
        try:
            with database.read() as tx:
                return api_keys.can_be_used(tx)
        except SchemaMissing:
            return False
        finally:
            database.dispose()

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split(cls, given: object) -> object:
        return tuple(one.strip() for one in given.split(",") if one.strip()) if isinstance(given, str) else given

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not re.fullmatch(r"https?://[A-Za-z0-9.\[\]:-]+", origin):
                raise ValueError(f"SAFS_CORS_ORIGINS takes origins such as https://safs.example.org, not {origin!r}")
        return origins
