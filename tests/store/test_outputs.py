"""Outputs of stages under their keys, and winners of earlier jobs."""

from typing import Any

import pytest
from sqlalchemy import text

from store import attempts, outputs, queue
from store.errors import LeaseLost
from store.records import JobState, Lease, StageOutput, StoredArtifact
from store.session import Database
from tests.workers.leases import take_over

FIRST, SECOND = StoredArtifact("ab" * 32, 3), StoredArtifact("cd" * 32, 4)


def succeed(database: Database, architecture: str, result: dict[str, Any]) -> str:
    """A job that ended with this result; its id."""
    with database.begin() as tx:
        queue.submit(tx, {"model": {"architecture": architecture}})
        claim = queue.claim(tx, "runner-1", lease_s=60)
        assert claim is not None
        queue.finish(tx, claim.lease, JobState.SUCCEEDED, result=result)
    return claim.job.id


def begin(database: Database) -> str:
    """A job that begins now; its id."""
    with database.begin() as tx:
        queue.submit(tx, {})
        claim = queue.claim(tx, "runner-1", lease_s=60)
    assert claim is not None
    return claim.job.id


def winners(database: Database, architecture: str, limit: int = 20, job_id: str | None = None) -> list[tuple[str, Any]]:
    """The winners offered to the job ``job_id``; None is a job that begins now."""
    reader = job_id or begin(database)
    with database.read() as tx:
        return list(outputs.winners(tx, reader, architecture, limit))


def test_an_output_is_found_under_its_key_with_its_maker(database: Database, lease: Lease) -> None:
    with database.begin() as tx:
        outputs.save(tx, lease, "key", "dense", FIRST)

    with database.read() as tx:
        assert outputs.find(tx, "key") == StageOutput("key", "dense", lease.job_id, FIRST.sha256)
        assert outputs.find(tx, "another") is None


def test_the_first_output_under_a_key_stays(database: Database, lease: Lease) -> None:
    with database.begin() as tx:
        outputs.save(tx, lease, "key", "dense", FIRST)
        queue.submit(tx, {})
        later = queue.claim(tx, "runner-2", lease_s=60)
        assert later is not None
        outputs.save(tx, later.lease, "key", "dense", SECOND)

        found = outputs.find(tx, "key")

    assert found is not None
    assert (found.job_id, found.sha256) == (lease.job_id, FIRST.sha256)


def test_an_output_that_is_forgotten_makes_place_for_another(database: Database, lease: Lease) -> None:
    with database.begin() as tx:
        outputs.save(tx, lease, "key", "dense", FIRST)
        damaged = outputs.find(tx, "key")
        assert damaged is not None
        outputs.remove(tx, lease, damaged)
        outputs.save(tx, lease, "key", "dense", SECOND)
        # Another runner saw the damage too, and comes late.
        outputs.remove(tx, lease, damaged)

        found = outputs.find(tx, "key")

    assert found is not None
    assert found.sha256 == SECOND.sha256


def test_a_runner_whose_lease_was_taken_over_keeps_and_forgets_nothing(database: Database, lease: Lease) -> None:
    with database.begin() as tx:
        outputs.save(tx, lease, "key", "dense", FIRST)
        kept = outputs.find(tx, "key")
        assert kept is not None
    take_over(database, lease)

    for write in (
        lambda tx: outputs.save(tx, lease, "other", "dense", SECOND),
        lambda tx: outputs.remove(tx, lease, kept),
        lambda tx: attempts.pin_in_flight(tx, lease, 4),
        lambda tx: attempts.note_reuse(tx, lease, "dense", "job_1"),
    ):
        with pytest.raises(LeaseLost), database.begin() as tx:
            write(tx)

    with database.read() as tx:
        assert (outputs.find(tx, "key"), outputs.find(tx, "other")) == (kept, None)


def test_winners_are_those_of_succeeded_jobs_on_the_architecture_the_newest_first(database: Database) -> None:
    older = succeed(database, "lenet5", {"winner": {"recipe": {"learning_rate": 1e-3}}})
    newer = succeed(database, "lenet5", {"winner": {"recipe": {"learning_rate": 0.1}}})
    succeed(database, "vgg16", {"winner": {"recipe": {}}})
    succeed(database, "lenet5", {"result": "of a version that named no winner"})

    assert winners(database, "lenet5") == [
        (newer, {"recipe": {"learning_rate": 0.1}}),
        (older, {"recipe": {"learning_rate": 1e-3}}),
    ]
    assert winners(database, "mlp") == []


def test_winners_on_own_networks_are_those_of_the_same_identity(database: Database) -> None:
    same = succeed(database, "", {"winner": {"number": 1}, "identity": "network/abc"})
    succeed(database, "", {"winner": {"number": 2}, "identity": "network/def"})

    assert winners(database, "network/abc") == [(same, {"number": 1})]


def test_winners_that_are_alike_are_told_once_and_no_more_than_asked_for(database: Database) -> None:
    ids = [succeed(database, "lenet5", {"winner": {"sites": {"a": "swish", "b": str(n // 2)}}}) for n in range(6)]

    assert [job_id for job_id, _ in winners(database, "lenet5")] == [ids[5], ids[3], ids[1]]
    assert winners(database, "lenet5", limit=2) == winners(database, "lenet5")[:2]
    assert winners(database, "lenet5", limit=0) == []


def test_a_job_is_told_the_same_winners_whatever_succeeds_while_it_runs(database: Database) -> None:
    before = succeed(database, "lenet5", {"winner": {"number": 1}})
    job_id = begin(database)
    succeed(database, "lenet5", {"winner": {"number": 2}})

    with database.begin() as tx:
        tx.execute(text("UPDATE jobs SET finished_at = '2001-01-01T00:00:00.000Z' WHERE id = :id"), {"id": before})
        tx.execute(text("UPDATE jobs SET started_at = '2001-01-02T00:00:00.000Z' WHERE id = :id"), {"id": job_id})

    assert winners(database, "lenet5", job_id=job_id) == [(before, {"number": 1})]
