"""Sessions of browsers that signed out, so that all API processes refuse copies of their cookies."""

from sqlalchemy import delete, literal, select

from store.clock import now, seconds_from_now
from store.records import Json
from store.session import Transaction
from store.tables import ended_sessions
from store.upsert import insert_if_absent


def end(tx: Transaction, session_id: str, *, lives_s: float) -> None:
    """Record that a session has ended, and forget those whose cookies have expired. Idempotent.

    Args:
        lives_s: seconds after which no cookie of the session is valid any more.
    """
    tx.execute(delete(ended_sessions).where(ended_sessions.c.forgotten_at <= now()))
    row: Json = {"id": session_id, "forgotten_at": seconds_from_now(literal(lives_s))}
    insert_if_absent(tx, ended_sessions, row)


def has_ended(tx: Transaction, session_id: str) -> bool:
    """True if the session signed out."""
    return tx.execute(select(ended_sessions.c.id).where(ended_sessions.c.id == session_id)).one_or_none() is not None
