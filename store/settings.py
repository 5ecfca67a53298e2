"""Where the data lives, and what is kept of it for how long; the API's and the workers' settings inherit from these."""

from pathlib import Path

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class StoreSettings(BaseSettings):
    """Read from the environment, with the prefix ``SAFS_``: ``SAFS_HOME``, ``SAFS_DATABASE_URL`` ...

    >>> StoreSettings(home="/srv/safs", database_url="").database_url
    'sqlite:////srv/safs/safs.db'
    """

    # The URL may hold a password: it stays out of the repr and of validation errors.
    model_config = SettingsConfigDict(
        env_prefix="SAFS_", env_ignore_empty=True, extra="ignore", hide_input_in_errors=True
    )

    home: Path = Field(Path("~/.local/share/safs"), validate_default=True)
    """Folder of the SQLite database and of the artifacts."""
    database_url: str = Field("", repr=False, validate_default=True)
    """``sqlite:///path`` or ``postgresql://user:password@host/name``; by default ``safs.db`` in ``home``."""
    artifacts_url: str | None = Field(None, repr=False)
    """Object storage for the artifacts, such as ``s3://bucket/prefix``; their folder is then a cache of it."""
    artifacts_limit_bytes: int | None = Field(None, ge=1)
    """What all artifacts together may take on this machine's disk; by default as much as it has. More is refused, or,
    where there is object storage, makes copies of what was used least recently go."""
    retention_days: float | None = Field(None, gt=0)
    """Jobs go so long after their end, and uploads so long after they came if no job names them; by default never."""
    outputs_days: float = Field(30.0, gt=0)
    """Stage outputs, which later jobs reuse, go so long after they were made."""

    @property
    def artifacts_folder(self) -> Path:
        """Folder of the ``ArtifactStore``."""
        return self.home / "artifacts"

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @field_validator("artifacts_url")
    @classmethod
    def _with_a_protocol(cls, url: str | None) -> str | None:
        if url is not None and "://" not in url:
            raise ValueError("SAFS_ARTIFACTS_URL must begin with a protocol, such as s3://bucket/prefix")
        return url

    @field_validator("database_url")
    @classmethod
    def _of_a_known_kind(cls, url: str, info: ValidationInfo) -> str:
        if not url and "home" in info.data:
            return f"sqlite:///{info.data['home'] / 'safs.db'}"
        if not url.startswith(("sqlite:///", "postgresql://", "postgresql+psycopg://", "postgres://")):
            raise ValueError("SAFS_DATABASE_URL must begin with sqlite:/// or postgresql://")
        return url
