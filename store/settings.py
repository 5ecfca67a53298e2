"""Settings for where data is stored and how long it is kept; base class of the API's and the runner's settings."""

from pathlib import Path

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from store.sqlite_urls import sqlite_url


class StoreSettings(BaseSettings):
    """Settings from environment variables with the prefix ``SAFS_``, such as ``SAFS_HOME``.

    >>> StoreSettings(home="/srv/safs", database_url="").database_url
    'sqlite:////srv/safs/safs.db'
    """

    # The URL may contain a password, so it is hidden in the repr and in validation errors.
    model_config = SettingsConfigDict(
        env_prefix="SAFS_", env_ignore_empty=True, extra="ignore", hide_input_in_errors=True
    )

    home: Path = Field(Path("~/.local/share/safs"), validate_default=True)
    """Folder of the SQLite database and of the artifacts."""
    database_url: str = Field("", repr=False, validate_default=True)
    """``sqlite:///path`` or ``postgresql://user:password@host/name``. The default is ``safs.db`` in ``home``.

    As in every URL, ``%``, ``?`` and ``#`` in the path are percent-encoded.
    """
    artifacts_url: str | None = Field(None, repr=False)
    """URL of the object storage for artifacts, such as ``s3://bucket/prefix``; the folder of artifacts is then a cache.

    None stores artifacts in the folder alone.
    """
    artifacts_limit_bytes: int | None = Field(None, ge=1)
    """Limit on the size of all artifacts on this machine's disk; None for no limit.

    Beyond it, new artifacts are refused; with object storage, the least recently used copies are evicted instead.
    """
    retention_days: float | None = Field(None, gt=0)
    """Days after which ended jobs, and uploads that no job refers to, are deleted; None keeps them."""
    outputs_days: float = Field(30.0, gt=0)
    """Days after which stage outputs, which later jobs reuse, are deleted."""

    @property
    def artifacts_folder(self) -> Path:
        """Folder of the ``ArtifactStore``."""
        return self.home / "artifacts"

    @field_validator("home")
    @classmethod
    def _absolute_home(cls, home: Path) -> Path:
        absolute = _expanded(home, "set SAFS_HOME to a folder that can be written").absolute()
        try:
            str(absolute).encode()
        except UnicodeEncodeError:
            raise ValueError(f"the path {str(absolute)!a} is not UTF-8; choose another folder") from None
        return absolute

    @field_validator("data_root", check_fields=False)
    @classmethod
    def _expanded_data_root(cls, data_root: Path | None) -> Path | None:
        """The folder without ``~``; settings of processes that read data sets have this field."""
        return None if data_root is None else _expanded(data_root, "write SAFS_DATA_ROOT without ~")

    @field_validator("artifacts_url")
    @classmethod
    def _checked_artifacts_url(cls, url: str | None) -> str | None:
        if url is not None and "://" not in url:
            raise ValueError("SAFS_ARTIFACTS_URL must begin with a protocol, such as s3://bucket/prefix")
        if url is not None and "::" in url:
            raise ValueError("SAFS_ARTIFACTS_URL contains '::', which joins several URLs in fsspec; give one URL")
        return url

    @field_validator("database_url")
    @classmethod
    def _checked_database_url(cls, url: str, info: ValidationInfo) -> str:
        if not url:  # without a valid home, that error is the one to report
            return sqlite_url(info.data["home"] / "safs.db") if "home" in info.data else url
        if not url.startswith(("sqlite:///", "postgresql://", "postgresql+psycopg://", "postgres://")):
            raise ValueError("SAFS_DATABASE_URL must begin with sqlite:/// or postgresql://")
        return url


def _expanded(path: Path, way_out: str) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:  # no HOME, and a user id that the machine does not know, as in some containers
        raise ValueError(f"this user has no home folder (HOME is not set); {way_out}") from None
