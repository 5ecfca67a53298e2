"""Answers under an Idempotency-Key, on both kinds of database."""

from dataclasses import replace

import pytest
from sqlalchemy import text

from store import idempotency, queue
from store.errors import IdempotencyConflict
from store.idempotency import Answer, Request
from store.session import Database

REQUEST = Request(owner="vision", key="k1", sha256="a" * 64)


def test_an_answer_is_found_under_its_owner_and_key(database: Database) -> None:
    with database.begin() as tx:
        kept = Answer(queue.submit(tx, {}).id, '{"id": "job"}')
        idempotency.save(tx, REQUEST, kept)

        assert idempotency.find(tx, REQUEST) == kept
        for other in (replace(REQUEST, owner=None), replace(REQUEST, owner="other"), replace(REQUEST, key="k2")):
            assert idempotency.find(tx, other) is None


def test_another_request_under_the_key_is_a_conflict(database: Database) -> None:
    with database.begin() as tx:
        job = queue.submit(tx, {})
        idempotency.save(tx, REQUEST, Answer(job.id, "{}"))

        with pytest.raises(IdempotencyConflict, match=f"'k1' was used for another job, {job.id}"):
            idempotency.find(tx, replace(REQUEST, sha256="b" * 64))


def test_a_key_is_free_again_after_a_day_and_the_next_answer_sweeps_out_the_old(database: Database) -> None:
    with database.begin() as tx:
        first, second = (Answer(queue.submit(tx, {}).id, "{}") for _ in range(2))
        idempotency.save(tx, REQUEST, first)
        idempotency.save(tx, replace(REQUEST, key="forgotten"), first)
        tx.execute(text("UPDATE idempotency_keys SET created_at = :at"), {"at": "2026-01-01T00:00:00.000Z"})

        assert idempotency.find(tx, replace(REQUEST, sha256="b" * 64)) is None
        idempotency.save(tx, REQUEST, second)

        assert idempotency.find(tx, REQUEST) == second
        assert tx.execute(text("SELECT count(*) FROM idempotency_keys")).scalar_one() == 1


def test_an_answer_goes_with_its_job(database: Database) -> None:
    with database.begin() as tx:
        idempotency.save(tx, REQUEST, Answer(queue.submit(tx, {}).id, "{}"))
        tx.execute(text("DELETE FROM jobs"))

        assert idempotency.find(tx, REQUEST) is None
