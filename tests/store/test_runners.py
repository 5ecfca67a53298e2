"""Runners that announce themselves: idle, busy, lost and forgotten."""

from sqlalchemy import text

from store import queue, runners
from store.session import Database, Transaction

CORES = {"cpu": {"total": 4.0, "free": 3.0}}


def announce(tx: Transaction, name: str, expires_s: float = 60) -> None:
    runners.announce(tx, name, version="1.2", cluster=None, resources=CORES, expires_s=expires_s)


def test_an_idle_runner_is_listed_and_a_busy_one_with_its_job(database: Database) -> None:
    with database.begin() as tx:
        announce(tx, "host:1")
        announce(tx, "host:2")
        queue.submit(tx, {"sparsity": 0.99})
        claim = queue.claim(tx, "host:2", lease_s=60)
    assert claim is not None

    with database.read() as tx:
        idle, busy = runners.list(tx)

    assert (idle.name, idle.state, idle.job_id, idle.resources) == ("host:1", "idle", None, CORES)
    assert (busy.name, busy.state, busy.job_id, busy.version) == ("host:2", "busy", claim.job.id, "1.2")
    assert 0 <= idle.seen_s < 60


def test_an_overdue_runner_is_lost_until_its_next_heartbeat(database: Database) -> None:
    with database.begin() as tx:
        announce(tx, "host:1", expires_s=-1)
    with database.begin() as tx:
        (lost,) = runners.list(tx)
        known = runners.beat(tx, "host:1", resources={}, expires_s=60)
        (back,) = runners.list(tx)

    assert (lost.state, known, back.state, back.resources) == ("lost", True, "idle", {})
    assert back.started_at == lost.started_at


def test_a_runner_that_was_lost_for_an_hour_is_forgotten(database: Database) -> None:
    with database.begin() as tx:
        announce(tx, "host:1", expires_s=-runners.FORGOTTEN_S - 1)
        announce(tx, "host:2")
        known = runners.beat(tx, "host:1", resources={}, expires_s=60)
        names = [one.name for one in runners.list(tx)]

    assert (names, known) == (["host:2"], False)


def test_a_runner_that_ends_in_good_order_leaves(database: Database) -> None:
    with database.begin() as tx:
        announce(tx, "host:1")
        runners.leave(tx, "host:1")
        rows = tx.execute(text("SELECT count(*) FROM runners")).scalar()

    assert rows == 0
