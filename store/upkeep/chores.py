"""Periodic work that any one process of the service does on behalf of all."""

from datetime import UTC, datetime

from sqlalchemy import update

from store.clock import now, seconds_from_now
from store.session import Transaction
from store.tables import chores
from store.upsert import insert_if_absent

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def claim(tx: Transaction, name: str, every_s: float) -> bool:
    """True if no process has claimed the chore within the last ``every_s`` seconds; the caller then does it."""
    insert_if_absent(tx, chores, {"name": name, "ran_at": _NEVER})
    due = update(chores).where(chores.c.name == name, chores.c.ran_at <= seconds_from_now(-every_s))
    return tx.execute(due.values(ran_at=now()).returning(chores.c.name)).one_or_none() is not None
