"""Limits of an owner, on both kinds of database."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
from sqlalchemy import update

from store import jobs, owner_limits, queue
from store.errors import QuotaExceeded
from store.session import Database, Transaction
from store.tables import jobs as job_rows

HOUR_S = 3600


def ended(tx: Transaction, owner: str, days_ago: float, gpu_hours: float) -> None:
    """A job that ended so long ago."""
    job = queue.submit(tx, {}, owner=owner)
    queue.request_cancel(tx, job.id)
    finished = datetime.now(UTC) - timedelta(days=days_ago)
    changed = (
        update(job_rows).where(job_rows.c.id == job.id).values(finished_at=finished, gpu_seconds=gpu_hours * HOUR_S)
    )
    tx.execute(changed)


def test_only_the_owners_own_jobs_in_the_queue_count(database: Database) -> None:
    with database.begin() as tx:
        queue.submit(tx, {}, owner="vision")
        queue.submit(tx, {}, owner="other")
        queue.submit(tx, {})
        begun = queue.submit(tx, {}, owner="vision")
        queue.request_cancel(tx, begun.id)

        owner_limits.check_queued(tx, "vision", 2)
        with pytest.raises(QuotaExceeded, match="vision has 1 queued jobs, and the limit is 1") as refused:
            owner_limits.check_queued(tx, "vision", 1)

    assert refused.value.retry_after_s == owner_limits.RETRY_QUEUE_S


def test_jobs_that_are_submitted_at_once_never_pass_the_limit(database: Database) -> None:
    barrier = Barrier(8)

    def submit(number: int) -> bool:
        barrier.wait()
        try:
            with database.begin() as tx:
                owner_limits.lock(tx, "vision")
                owner_limits.check_queued(tx, "vision", 3)
                queue.submit(tx, {}, owner="vision")
        except QuotaExceeded:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(submit, range(8)))

    with database.read() as tx:
        assert len(jobs.list(tx, owner="vision").items) == 3
    assert sum(taken) == 3


def test_gpu_hours_of_thirty_days_are_counted_and_the_way_back_is_as_long_as_it_is_said_to_be(
    database: Database,
) -> None:
    with database.begin() as tx:
        ended(tx, "vision", days_ago=31, gpu_hours=500)
        ended(tx, "vision", days_ago=29, gpu_hours=2)
        ended(tx, "vision", days_ago=20, gpu_hours=3)
        ended(tx, "vision", days_ago=10, gpu_hours=4)
        ended(tx, "other", days_ago=1, gpu_hours=500)

        owner_limits.check_gpu_hours(tx, "vision", 9.5)
        waits = {}
        for limit in (8, 5, 4, 0):
            with pytest.raises(QuotaExceeded, match=rf"used 9\.0 GPU-hours, and the limit is {limit}") as refused:
                owner_limits.check_gpu_hours(tx, "vision", limit)
            waits[limit] = refused.value.retry_after_s / 86_400

    # 9 - 2 < 8 a day from now; 9 - 2 - 3 < 5 in ten; all are gone in twenty; no use is below none.
    assert waits == pytest.approx({8: 1, 5: 10, 4: 20, 0: 30}, abs=0.01)
