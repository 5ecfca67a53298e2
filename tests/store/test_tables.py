"""Constraints: what the tables refuse, whoever asks."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from store.records import Lease
from store.session import Database


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("state = 'paused', lease_token = NULL, lease_expires_at = NULL, worker = NULL", "state"),
        ("attempt = -1", "attempt"),
        ("attempt = max_attempts + 1", "attempt"),
        ("state = 'queued'", "lease_while_active"),
        ("lease_token = NULL, lease_expires_at = NULL, worker = NULL", "lease_while_active"),
        ("worker = NULL", "lease_whole"),
        ("finished_at = created_at", "finished_when_final"),
        ("error = '{}'", "error_when_failed"),
    ],
)
def test_job_whose_columns_contradict_each_other_is_refused(
    database: Database, lease: Lease, change: str, constraint: str
) -> None:
    with pytest.raises(IntegrityError, match=f"ck_jobs_{constraint}"), database.begin() as tx:
        tx.execute(text(f"UPDATE jobs SET {change}"))


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO events (job_id, number, kind, at, data) VALUES ('job_missing', 1, 'note', :now, '{}')",
        "INSERT INTO job_artifacts (job_id, name, sha256, media_type) SELECT id, 'x', 'ab', 'text/plain' FROM jobs",
        "INSERT INTO uploads (id, sha256, filename, created_at) VALUES ('upload_1', 'ab', 'x', :now)",
    ],
)
def test_row_that_refers_to_nothing_is_refused(database: Database, lease: Lease, statement: str) -> None:
    known = {"now": "2026-01-01T00:00:00.000Z"} if ":now" in statement else {}

    with pytest.raises(IntegrityError, match=r"(?i)foreign key"), database.begin() as tx:
        tx.execute(text(statement), known)


def test_rows_of_a_job_go_with_it(database: Database, lease: Lease) -> None:
    with database.begin() as tx:
        insert = "INSERT INTO events (job_id, number, kind, at, data) SELECT id, 1, 'note', created_at, '{}' FROM jobs"
        tx.execute(text(insert))
        tx.execute(text("DELETE FROM jobs"))

        assert tx.execute(text("SELECT count(*) FROM events")).scalar_one() == 0
