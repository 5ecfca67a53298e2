"""The queue for the cores of a shared cluster: the order of claims, other clusters, and jobs whose runner died."""

import pytest

from store import core_queue, jobs, queue
from store.core_queue import Place
from store.errors import LeaseLost
from store.records import JobState, Lease
from store.session import Database

CLUSTER = "10.0.0.1:6379"


def claim(database: Database, cluster: str | None = CLUSTER) -> Lease:
    """Submit a job and claim it."""
    with database.begin() as tx:
        queue.submit(tx, {"sparsity": 0.99})
        claimed = queue.claim(tx, "runner", 60, cluster)
    assert claimed is not None
    return claimed.lease


def place(database: Database, lease: Lease) -> Place:
    with database.begin() as tx:
        return core_queue.place(tx, lease)


def test_jobs_stand_in_the_order_of_their_claims_until_they_have_their_cores(database: Database) -> None:
    first, second, third = (claim(database) for _ in range(3))

    waiting = [place(database, lease) for lease in (first, second, third)]
    with database.begin() as tx:
        core_queue.wait(tx, second, 2, 1)
        core_queue.leave(tx, first)
        shown = jobs.get(tx, second.job_id)
    started = [place(database, lease) for lease in (first, second, third)]
    with database.begin() as tx:
        queue.finish(tx, first, JobState.CANCELLED)
    ended = [place(database, lease) for lease in (second, third)]

    assert waiting == [Place(0, 0), Place(1, 1), Place(2, 2)]
    assert (shown.cores_awaited, shown.jobs_before) == (2, 1)
    assert started == [Place(0, 0), Place(0, 1), Place(1, 2)]
    assert ended == [Place(0, 0), Place(1, 1)]


def test_a_job_waits_for_no_job_of_another_cluster_or_of_a_ray_of_its_own(database: Database) -> None:
    claim(database, "10.0.0.2:6379")
    claim(database, None)

    assert place(database, claim(database)) == Place(0, 0)


def test_a_job_whose_runner_has_died_is_waited_for_only_until_its_lease_expires(database: Database) -> None:
    dead, alive = claim(database), claim(database)

    with database.begin() as tx:
        queue.renew(tx, dead, -1)

    assert place(database, alive) == Place(0, 0)


def test_a_job_that_was_released_and_claimed_again_stands_behind_those_claimed_meanwhile(database: Database) -> None:
    released, other = claim(database), claim(database)

    with database.begin() as tx:
        core_queue.wait(tx, released, 2, 0)
        job = queue.release(tx, released)
    with database.begin() as tx:
        again = queue.claim(tx, "runner", 60, CLUSTER)

    assert (job.cores_awaited, job.jobs_before) == (None, None)
    assert again is not None
    assert place(database, other) == Place(0, 0)
    assert place(database, again.lease) == Place(1, 1)
    with pytest.raises(LeaseLost):
        place(database, released)


def test_a_cluster_is_waited_for_once_a_job_of_it_has_found_its_cores_taken(database: Database) -> None:
    lease = claim(database)

    with database.begin() as tx:
        claimed = core_queue.is_waited_for(tx, CLUSTER)
        core_queue.wait(tx, lease, 2, 0)
        waits = core_queue.is_waited_for(tx, CLUSTER)
        elsewhere = core_queue.is_waited_for(tx, "10.0.0.2:6379")
        core_queue.leave(tx, lease)
        has_them = core_queue.is_waited_for(tx, CLUSTER)

    assert (claimed, waits, elsewhere, has_them) == (False, True, False, False)
