"""Bodies of API keys and of the caller."""

from dataclasses import asdict
from datetime import datetime
from typing import Self

from pydantic import BaseModel, Field

from api.schemas.base import Response
from safs.spec.strict import Plain
from store import api_keys
from store.api_keys import KeyState, Scope


class Me(BaseModel):
    """The sender of a request, as its key describes it."""

    owner: str | None = Field(description="Owner of the key; null without a key.")
    scopes: list[Scope] = Field(description="Scopes of the key; all without a key. `admin` includes the others.")
    key: str | None = Field(description="Prefix of the key, its public name; null without a key.")
    expires_at: datetime | None = Field(description="Time at which the key expires; null if it does not.")


class KeyLimits(Plain):
    """Limits of a key."""

    requests_per_minute: int | None = Field(
        None, ge=1, le=1_000_000, description="Requests per minute; null for the service's limit."
    )
    queued_jobs: int | None = Field(
        None, ge=0, le=1_000_000, description="Queued jobs of the owner; null for the service's limit."
    )
    gpu_hours: float | None = Field(
        None, ge=0, le=1e9, description="GPU-hours of the owner within 30 days; null for the service's limit."
    )

    def to_store(self) -> api_keys.KeyLimits:
        """The limits as the store takes them."""
        return api_keys.KeyLimits(**self.model_dump())


class KeyRequest(Plain):
    """A key to create."""

    owner: str = Field(
        pattern=api_keys.OWNER_PATTERN, description="Owner of the jobs that the key submits: a person or a team."
    )
    scopes: list[Scope] = Field(min_length=1, max_length=3, description="What the key allows.")
    lives_s: float | None = Field(
        None, gt=0, le=10 * 365 * 86_400, description="Seconds until the key expires; null for never."
    )
    limits: KeyLimits = Field(default_factory=KeyLimits, description="Limits of the key.")


class ApiKey(Response):
    """A key without its token."""

    key: str = Field(description="Prefix of the key, its public name.")
    owner: str = Field(description="Owner of the key.")
    scopes: list[Scope] = Field(description="What the key allows.")
    state: KeyState = Field(description="`active`, `expired` or `revoked`.")
    created_at: datetime = Field(description="Time of creation, in UTC.")
    expires_at: datetime | None = Field(description="Time at which the key expires; null if it does not.")
    last_used_at: datetime | None = Field(description="Time of the last use, to the minute; null if never used.")
    limits: KeyLimits = Field(description="Limits of the key.")

    @classmethod
    def of(cls, key: api_keys.ApiKey) -> Self:
        """The body for a key of the store."""
        return cls(
            key=key.prefix,
            owner=key.owner,
            scopes=sorted(key.scopes),
            state=key.state,
            created_at=key.created_at,
            expires_at=key.expires_at,
            last_used_at=key.last_used_at,
            limits=KeyLimits(**asdict(key.limits)),
        )


class NewKey(ApiKey):
    """A key with its token, which is shown once."""

    token: str = Field(description="The key itself, for `Authorization: Bearer`. The service keeps only its hash.")
