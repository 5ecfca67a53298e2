"""API keys with their owners, scopes and limits.

A token is ``safs_<prefix>_<secret>``. The prefix finds the row, which stores only the sha256 of the whole token. The
secret has 192 random bits, so it cannot be found by trying hashes, and a slow hash would add no protection.
"""

import re
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, and_, case, exists, insert, or_, select, update

from store.clock import now, seconds_from_now
from store.errors import InvalidValue, KeyNotFound
from store.session import Transaction
from store.tables import api_keys

OWNER_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$"
USE_RECORDED_EVERY_S = 60
"""Seconds between two updates of a key's ``last_used_at``."""

_TOKEN = re.compile(r"safs_([0-9a-f]{8})_[0-9a-f]{48}")


class Scope(StrEnum):
    """Permission of a key."""

    SUBMIT = "submit"
    """Submit and cancel the owner's jobs, upload weights."""
    READ = "read"
    """Read the owner's jobs and download their results."""
    ADMIN = "admin"
    """Both of the others for the jobs of all owners, and the service's metrics."""


class KeyState(StrEnum):
    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """Limits of a key; None stands for the service's default."""

    requests_per_minute: int | None = None
    queued_jobs: int | None = None
    gpu_hours: float | None = None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret."""

    prefix: str
    owner: str
    """Name whose jobs the key gives access to; several keys can have the same owner, so a key can be replaced."""
    scopes: frozenset[Scope]
    state: KeyState
    """State when the key was read, by the database's clock."""
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    """Time of the last use, accurate to ``USE_RECORDED_EVERY_S`` seconds; None if the key was never used."""
    limits: KeyLimits

    def allows(self, scope: Scope) -> bool:
        """True if the key has ``scope``; ``admin`` includes the others."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


def create(
    tx: Transaction,
    owner: str,
    scopes: Iterable[Scope],
    *,
    lives_s: float | None = None,
    limits: KeyLimits = KeyLimits(),
) -> tuple[ApiKey, str]:
    """Create a key; returns it with its token, which is not stored.

    Args:
        lives_s: seconds until the key expires; None for never.

    Raises:
        InvalidValue: ``owner`` is not a valid name, or ``scopes`` is empty.
    """
    if not re.fullmatch(OWNER_PATTERN, owner):
        raise InvalidValue(
            f"{owner!r} is not a valid owner; use 1 to 64 letters, digits and . _ @ -, beginning with a letter or digit"
        )
    chosen = sorted(set(scopes))
    if not chosen:
        raise InvalidValue(f"a key needs a scope. Known: {', '.join(Scope)}")
    prefix = secrets.token_hex(4)
    token = f"safs_{prefix}_{secrets.token_hex(24)}"
    values = {
        "prefix": prefix,
        "sha256": _hash(token),
        "owner": owner,
        "scopes": chosen,
        "expires_at": None if lives_s is None else seconds_from_now(lives_s),
        **asdict(limits),
    }
    tx.execute(insert(api_keys).values(values))
    return get(tx, prefix), token


def get(tx: Transaction, prefix: str) -> ApiKey:
    """The key with this prefix; raises ``KeyNotFound``."""
    row = tx.execute(_rows().where(api_keys.c.prefix == prefix)).mappings().one_or_none()
    if row is None:
        raise KeyNotFound(f"there is no key {prefix!r}; `safs keys list` shows the prefixes of all keys")
    return _key_from(row)


def list(tx: Transaction) -> tuple[ApiKey, ...]:
    """All keys, newest first."""
    return tuple(map(_key_from, tx.execute(_rows().order_by(api_keys.c.created_at.desc())).mappings()))


def revoke(tx: Transaction, prefix: str) -> ApiKey:
    """Revoke a key; its row stays. Idempotent. Raises ``KeyNotFound``."""
    of_key = and_(api_keys.c.prefix == prefix, api_keys.c.revoked_at.is_(None))
    tx.execute(update(api_keys).where(of_key).values(revoked_at=now()))
    return get(tx, prefix)


def find(tx: Transaction, token: str) -> ApiKey | None:
    """The key with this token, in any state; None if there is none."""
    match = _TOKEN.fullmatch(token)
    if match is None:
        return None
    row = tx.execute(_rows(api_keys.c.sha256).where(api_keys.c.prefix == match[1])).mappings().one_or_none()
    if row is None or not secrets.compare_digest(row["sha256"], _hash(token)):
        return None
    return _key_from(row)


def exist(tx: Transaction) -> bool:
    """True if any key was ever created; from then on every request needs a key."""
    return bool(tx.execute(select(exists(select(api_keys.c.prefix)))).scalar_one())


def can_be_used(tx: Transaction) -> bool:
    """True if any key is active."""
    return bool(tx.execute(select(exists(select(api_keys.c.prefix).where(_state() == KeyState.ACTIVE)))).scalar_one())


def note_use(tx: Transaction, prefix: str) -> None:
    """Set the key's time of last use, at most once every ``USE_RECORDED_EVERY_S`` seconds."""
    stale = or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at < seconds_from_now(-USE_RECORDED_EVERY_S))
    tx.execute(update(api_keys).where(api_keys.c.prefix == prefix, stale).values(last_used_at=now()))


def _rows(*more: ColumnElement[Any]) -> Select[Any]:
    names = [name for name in (*ApiKey.__slots__, *KeyLimits.__slots__) if name not in ("state", "limits")]
    return select(*(api_keys.c[name] for name in names), _state().label("state"), *more)


def _state() -> ColumnElement[str]:
    return case(
        (api_keys.c.revoked_at.is_not(None), KeyState.REVOKED.value),
        (api_keys.c.expires_at <= now(), KeyState.EXPIRED.value),
        else_=KeyState.ACTIVE.value,
    )


def _key_from(row: RowMapping) -> ApiKey:
    values = {name: row[name] for name in ApiKey.__slots__ if name != "limits"}
    limits = KeyLimits(**{name: row[name] for name in KeyLimits.__slots__})
    named = {"state": KeyState(row["state"]), "scopes": frozenset(map(Scope, row["scopes"]))}
    return ApiKey(**values | named, limits=limits)


def _hash(token: str) -> str:
    return sha256(token.encode()).hexdigest()
