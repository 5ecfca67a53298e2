"""Work that somebody has to do once in a while, whoever it is."""

from datetime import UTC, datetime

from sqlalchemy import update

from store.clock import now, seconds_from_now
from store.session import Transaction
from store.tables import chores
from store.upsert import insert_if_absent

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def claim(tx: Transaction, name: str, every_s: float) -> bool:
    """Whether the chore is the caller's to do now: nobody has claimed it within ``every_s`` seconds."""
    insert_if_absent(tx, chores, {"name": name, "ran_at": _NEVER})
    due = update(chores).where(chores.c.name == name, chores.c.ran_at <= seconds_from_now(-every_s))
    return tx.execute(due.values(ran_at=now()).returning(chores.c.name)).one_or_none() is not None
