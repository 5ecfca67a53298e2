"""The heartbeat renews the lease from a thread, and learns why the run must end."""

from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from safs.errors import Cancelled
from store import queue
from store.errors import LeaseLost, SchemaMissing
from store.records import Lease
from store.session import Database
from tests.waiting import wait_until
from tests.workers.leases import take_over
from workers.heartbeat import Heartbeat


def _wait_until_it_raises(heartbeat: Heartbeat) -> None:
    wait_until(heartbeat.check)


def _expires_at(database: Database, lease: Lease) -> datetime:
    with database.read() as tx:
        query = text("SELECT lease_expires_at FROM jobs WHERE id = :id")
        found = tx.execute(query, {"id": lease.job_id}).scalar_one()
    return found if isinstance(found, datetime) else datetime.fromisoformat(found)


def test_a_heartbeat_notices_that_the_job_is_to_be_cancelled(database: Database, lease: Lease) -> None:
    with database.begin() as tx:
        queue.request_cancel(tx, lease.job_id)

    with Heartbeat(database, lease, lease_s=3600, every_s=0.01) as heartbeat, pytest.raises(Cancelled):
        _wait_until_it_raises(heartbeat)


def test_a_heartbeat_notices_that_another_runner_has_the_job(database: Database, lease: Lease) -> None:
    take_over(database, lease)

    with Heartbeat(database, lease, lease_s=3600, every_s=0.01) as heartbeat, pytest.raises(LeaseLost):
        _wait_until_it_raises(heartbeat)


def test_a_heartbeat_keeps_the_job_from_other_runners(database: Database, lease: Lease) -> None:
    with database.begin() as tx:
        queue.renew(tx, lease, -1)
    expired_at = _expires_at(database, lease)

    with Heartbeat(database, lease, lease_s=3600, every_s=0.01) as heartbeat:
        while _expires_at(database, lease) == expired_at:
            heartbeat.check()

    with database.begin() as tx:
        assert queue.claim(tx, "another", 3600) is None


def test_the_check_of_a_heartbeat_that_renews_its_lease_raises_nothing(database: Database, lease: Lease) -> None:
    first = _expires_at(database, lease)

    with Heartbeat(database, lease, lease_s=7200, every_s=0.01) as heartbeat:
        while _expires_at(database, lease) == first:
            heartbeat.check()
        heartbeat.check()


def test_a_database_that_is_away_loses_the_lease_once_it_would_have_expired(lease: Lease, tmp_path: Path) -> None:
    (tmp_path / "folder.db").mkdir()
    away = Database(f"sqlite:///{tmp_path / 'folder.db'}")

    with Heartbeat(away, lease, lease_s=0.05, every_s=0.01) as heartbeat:
        heartbeat._thread.join()  # Before that, the check may find a renewal that takes longer than the lease.
        with pytest.raises(LeaseLost, match="away"):
            heartbeat.check()


def test_an_unexpected_error_of_a_renewal_ends_the_run_with_that_error(lease: Lease, tmp_path: Path) -> None:
    unmigrated = Database(f"sqlite:///{tmp_path / 'unmigrated.db'}")

    with Heartbeat(unmigrated, lease, lease_s=3600, every_s=0.01) as heartbeat, pytest.raises(SchemaMissing):
        _wait_until_it_raises(heartbeat)

    unmigrated.dispose()
