"""API keys: who may come in, as whom, and what for.

A token is ``safs_<prefix>_<secret>``. The row is found by its prefix; of the whole token only the sha256 is stored. The
secret has 192 random bits, so nobody finds it by trying hashes, and a slow hash would protect nothing more.
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
USE_NOTED_EVERY_S = 60

_TOKEN = re.compile(r"safs_([0-9a-f]{8})_[0-9a-f]{48}")


class Scope(StrEnum):
    """What a key allows."""

    SUBMIT = "submit"
    """Submit and cancel jobs, upload weights."""
    READ = "read"
    """Look at jobs, fetch results."""
    ADMIN = "admin"
    """Both, for all owners' jobs; and the service's metrics."""


class KeyState(StrEnum):
    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What a key has in place of the service's defaults; None leaves a default."""

    requests_per_minute: int | None = None
    queued_jobs: int | None = None
    gpu_hours: float | None = None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret."""

    prefix: str
    owner: str
    """Whose jobs it sees. Keys of one owner see the same, so a key can be replaced."""
    scopes: frozenset[Scope]
    state: KeyState
    """By the database's clock, when it was read."""
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    """To the minute."""
    limits: KeyLimits

    def allows(self, scope: Scope) -> bool:
        """Whether ``scope`` is among its own; ``admin`` includes the others."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


def create(
    tx: Transaction,
    owner: str,
    scopes: Iterable[Scope],
    *,
    lives_s: float | None = None,
    limits: KeyLimits = KeyLimits(),
) -> tuple[ApiKey, str]:
    """A new key, and its token, which is stored nowhere.

    Args:
        lives_s: until it expires; None for ever.

    Raises:
        InvalidValue: ``owner`` is no name, or there are no scopes.
    """
    if not re.fullmatch(OWNER_PATTERN, owner):
        raise InvalidValue(f"{owner!r} is no owner: 1 to 64 letters, digits and . _ @ -, a letter or digit first")
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
    """The key, or ``KeyNotFound``."""
    row = tx.execute(_rows().where(api_keys.c.prefix == prefix)).mappings().one_or_none()
    if row is None:
        raise KeyNotFound(f"there is no key {prefix!r}; `safs keys list` shows the prefixes of all")
    return _key_from(row)


def list(tx: Transaction) -> tuple[ApiKey, ...]:
    """All keys, the newest first."""
    return tuple(map(_key_from, tx.execute(_rows().order_by(api_keys.c.created_at.desc())).mappings()))


def revoke(tx: Transaction, prefix: str) -> ApiKey:
    """Ends a key at once; the row stays. Doing it twice changes nothing. Raises ``KeyNotFound``."""
    of_key = and_(api_keys.c.prefix == prefix, api_keys.c.revoked_at.is_(None))
    tx.execute(update(api_keys).where(of_key).values(revoked_at=now()))
    return get(tx, prefix)


def find(tx: Transaction, token: str) -> ApiKey | None:
    """The key of this token, whatever its state; None if there is none."""
    match = _TOKEN.fullmatch(token)
    if match is None:
        return None
    row = tx.execute(_rows(api_keys.c.sha256).where(api_keys.c.prefix == match[1])).mappings().one_or_none()
    if row is None or not secrets.compare_digest(row["sha256"], _hash(token)):
        return None
    return _key_from(row)


def exist(tx: Transaction) -> bool:
    """Whether a key was ever made; from then on nobody comes in without one."""
    return bool(tx.execute(select(exists(select(api_keys.c.prefix)))).scalar_one())


def can_be_used(tx: Transaction) -> bool:
    """Whether any key is active."""
    return bool(tx.execute(select(exists(select(api_keys.c.prefix).where(_state() == KeyState.ACTIVE)))).scalar_one())


def note_use(tx: Transaction, prefix: str) -> None:
    """Notes that the key is used now, if that was not noted within the last minute."""
    stale = or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at < seconds_from_now(-USE_NOTED_EVERY_S))
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
