"""Runners: each announces itself with a heartbeat, whether it has a job or not.

Nothing depends on these rows. Jobs are held by leases alone.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, case, delete, literal, select, update

from store.clock import now, seconds_from_now, seconds_since
from store.records import ACTIVE_STATES, Json
from store.session import Transaction
from store.tables import jobs, runners
from store.upsert import insert_or_update

FORGOTTEN_S = 3600.0
"""Seconds after its last heartbeat was due at which a lost runner is deleted."""


@dataclass(frozen=True, slots=True)
class Runner:
    """A runner as its last heartbeat described it."""

    name: str
    state: str
    """``busy`` with a job, ``idle``, or ``lost`` if its heartbeat is overdue."""
    job_id: str | None
    """Job that it holds; None if it holds none."""
    stage: str | None
    """Current stage of that job; None before the first."""
    started_at: datetime
    seen_s: float
    """Seconds since its last heartbeat."""
    version: str
    cluster: str | None
    """Address of the Ray cluster that it shares with other runners; None if it has a Ray of its own."""
    resources: Json
    """Resource of its Ray -> ``{"total": number, "free": number}``; numbers of cores and GPUs, bytes of memory."""


def announce(
    tx: Transaction, name: str, *, version: str, cluster: str | None, resources: Json, expires_s: float
) -> None:
    """Record that a runner has started, and delete those that have been lost for an hour.

    Args:
        expires_s: seconds after which the next heartbeat is overdue.
    """
    tx.execute(delete(runners).where(seconds_since(runners.c.expires_at) > FORGOTTEN_S))
    row: Json = {"name": name, "version": version, "cluster": cluster, "resources": resources}
    times: Json = {"started_at": now(), "seen_at": now(), "expires_at": seconds_from_now(literal(expires_s))}
    insert_or_update(tx, runners, row | times)


def beat(tx: Transaction, name: str, *, resources: Json, expires_s: float) -> bool:
    """Record a heartbeat; False if the runner is not known any more and must announce itself again."""
    times: Json = {"seen_at": now(), "expires_at": seconds_from_now(literal(expires_s))}
    known = update(runners).where(runners.c.name == name).values(resources=resources, **times)
    return tx.execute(known).rowcount > 0


def leave(tx: Transaction, name: str) -> None:
    """Delete the runner, which has ended in good order."""
    tx.execute(delete(runners).where(runners.c.name == name))


def list(tx: Transaction) -> tuple[Runner, ...]:
    """All runners, in the order of their starts."""
    return tuple(Runner(*row) for row in tx.execute(_ALL))


_STATE = case(
    (runners.c.expires_at <= now(), "lost"),
    (jobs.c.id.is_not(None), "busy"),
    else_="idle",
)
_ALL = (
    select(
        runners.c.name,
        _STATE,
        jobs.c.id,
        jobs.c.stage,
        runners.c.started_at,
        seconds_since(runners.c.seen_at),
        runners.c.version,
        runners.c.cluster,
        runners.c.resources,
    )
    .join_from(runners, jobs, and_(jobs.c.worker == runners.c.name, jobs.c.state.in_(ACTIVE_STATES)), isouter=True)
    .order_by(runners.c.started_at, runners.c.name)
)
