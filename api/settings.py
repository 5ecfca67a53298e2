"""Settings of the API, read from the environment with the prefix ``SAFS_``."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from api.gate.access import is_loopback
from api.gate.sessions import read_secret
from store import api_keys
from store.errors import SchemaMissing
from store.session import Database
from store.settings import StoreSettings
from store.sqlite_urls import sqlite_file


class ApiSettings(StoreSettings):
    """Address, limits and folders of the API.

    >>> ApiSettings(home="/srv/safs").data_folder
    PosixPath('/srv/safs/data')
    """

    host: str = "127.0.0.1"
    """Address or name to listen on. Anything but loopback requires an API key."""
    port: int = Field(8000, ge=0, le=65_535)
    """TCP port, 0 to 65535; 0 chooses a free port."""
    root_path: str = ""
    """Prefix of all addresses, such as /safs, behind a proxy that strips it; none by default."""
    requests_per_minute: int = Field(600, ge=1)
    """Requests per minute of each key without a limit of its own, at least 1; also the size of a burst."""
    queued_jobs: int = Field(100, ge=0)
    """Maximum number of queued jobs of each owner; 0 allows none."""
    gpu_hours: float | None = Field(None, ge=0)
    """Maximum GPU-hours of each owner within 30 days; None for no limit."""
    session_idle_s: float = Field(8 * 3600, gt=0)
    """Seconds without a request after which a browser must sign in again; 8 hours by default."""
    session_limit_s: float = Field(7 * 24 * 3600, gt=0)
    """Seconds after a sign-in at which a browser must sign in again; 7 days by default."""
    session_secret: SecretStr | None = Field(None, min_length=32)
    """Secret that signs the sessions of browsers, at least 32 characters. None keeps one in ``session-secret`` in
    ``home``; services that share a database and no home need the same secret."""
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins whose pages may call this API, such as https://safs.example.org, separated by commas; none by default."""
    data_root: Path | None = None
    """Folder of data sets; None for ``data`` in ``home``."""
    upload_limit_bytes: int = Field(4 * 2**30, ge=1)
    """Maximum size of an upload, in bytes; 4 GiB by default."""
    network_gflops: float = Field(100.0, gt=0, le=1e6)
    """Maximum cost of one image in an uploaded network, in 10^9 floating-point operations; 100 by default."""
    body_limit_bytes: int = Field(2**20, ge=1)
    """Maximum size of a request body other than an upload, in bytes; 1 MiB by default."""
    free_disk_bytes: int = Field(2**30, ge=0)
    """Free disk space in bytes below which ``/readyz`` reports that the service is not ready; 1 GiB by default."""
    events_interval_s: float = Field(0.25, gt=0, le=60)
    """Seconds between two polls for new events of a followed job, at most 60."""
    keep_alive_s: float = Field(15.0, gt=0, le=30)
    """Seconds after which an idle event stream sends a comment, at most 30."""
    estimate_limit_s: float = Field(45.0, ge=0, le=50)
    """Maximum seconds to time a job for its estimate, 0 to 50; 0 disables timing. Clients wait up to 60 s for it."""

    check_idle_s: float = Field(300.0, ge=0, le=86_400)
    """Seconds without a check of a job after which the process that checks jobs ends and frees about 300 MB; 300 by
    default. The next check then takes some seconds longer."""

    @property
    def data_folder(self) -> Path:
        """The folder of data sets as an absolute path."""
        return (self.data_root or self.home / "data").absolute()

    def read_session_secret(self) -> bytes:
        """The secret that signs the sessions of browsers; creates one in ``home`` if none is set."""
        given = self.session_secret
        return read_secret(None if given is None else given.get_secret_value(), self.home)

    def refuse_open_network(self) -> None:
        """Raise ``PermissionError`` if the API would listen beyond loopback and no usable API key exists."""
        if is_loopback(self.host) or self._has_usable_key():
            return
        raise PermissionError(
            f"refusing to listen on {self.host or 'all addresses'}: no usable API key exists. Create one with "
            "`safs keys create --owner NAME --scopes submit,read`, with the same SAFS_HOME and SAFS_DATABASE_URL; or "
            "listen on 127.0.0.1 (SAFS_HOST), where programs on this machine need no key."
        )

    def _has_usable_key(self) -> bool:
        """True if the database holds a usable key. Does not create an SQLite file."""
        file = sqlite_file(self.database_url)
        if file is not None and not file.exists():
            return False
        database = Database(self.database_url)
        try:
            with database.read() as tx:
                return api_keys.can_be_used(tx)
        except SchemaMissing:
            return False
        finally:
            database.dispose()

    @field_validator("root_path")
    @classmethod
    def _is_path(cls, given: str) -> str:
        path = given.rstrip("/")
        if not re.fullmatch(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)*", path):
            raise ValueError(f"SAFS_ROOT_PATH is {given!r}, which is not a path such as /safs")
        return path

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split(cls, given: object) -> object:
        return tuple(one.strip() for one in given.split(",") if one.strip()) if isinstance(given, str) else given

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not re.fullmatch(r"https?://[A-Za-z0-9.\[\]:-]+", origin):
                raise ValueError(
                    f"SAFS_CORS_ORIGINS holds {origin!r}, which is not an origin such as https://safs.example.org"
                )
        return origins
