"""``safs scrub`` and ``safs collect``, on a home of their own."""

import io
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import Result

from migrations import upgrade
from store import jobs, outputs, queue, uploads
from store.artifacts import stored_files
from store.artifacts.stored_files import ArtifactStore
from store.errors import SchemaMissing, SchemaNewer
from store.records import JobState, Lease
from store.session import Database
from store.settings import StoreSettings

Safs = Callable[..., Result]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StoreSettings:
    monkeypatch.setenv("SAFS_HOME", str(tmp_path))
    monkeypatch.delenv("SAFS_DATABASE_URL", raising=False)
    settings = StoreSettings()
    upgrade(settings.database_url)
    return settings


@pytest.fixture
def database(settings: StoreSettings) -> Database:
    return Database(settings.database_url)


@pytest.fixture
def store(settings: StoreSettings) -> ArtifactStore:
    return ArtifactStore(settings.artifacts_folder)


@pytest.fixture
def lease(database: Database) -> Lease:
    with database.begin() as tx:
        queue.submit(tx, {})
        claim = queue.claim(tx, "runner-1", lease_s=600)
    assert claim is not None
    return claim.lease


def damage(store: ArtifactStore, sha256: str) -> None:
    path = store.path(sha256)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")


def test_scrub_counts_intact_files(safs: Safs, database: Database, store: ArtifactStore, lease: Lease) -> None:
    with database.begin() as tx:
        stored_files.attach(tx, lease, "report", store.put(io.BytesIO(b"{}")), "application/json")

    done = safs("scrub")

    assert (done.exit_code, done.stdout) == (0, "1 files checked: 1 intact, 0 damaged or missing\n")


def test_scrub_lists_damaged_files_with_their_users_and_recovery(
    safs: Safs, database: Database, store: ArtifactStore, lease: Lease
) -> None:
    report, weights = store.put(io.BytesIO(b"report")), store.put(io.BytesIO(b"weights"))
    with database.begin() as tx:
        stored_files.attach(tx, lease, "report", report, "application/json")
        upload = uploads.create(tx, weights, "dense.safetensors", 1)
        stored_files.attach(tx, lease, "config", store.put(io.BytesIO(b"intact")), "application/json")
    damage(store, report.sha256)
    store.path(weights.sha256).unlink()

    done = safs("scrub")

    assert done.exit_code == 1
    assert "3 files checked: 1 intact, 2 damaged or missing" in done.stdout
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert all(part in lines[report.sha256] for part in ("damaged", "result 'report'", lease.job_id, "backup"))
    assert all(part in lines[weights.sha256] for part in ("missing", upload.id, "upload the same file again"))


def test_scrub_repairs_what_can_be_made_anew_and_nothing_else(
    safs: Safs, database: Database, store: ArtifactStore, lease: Lease
) -> None:
    cache, both = store.put(io.BytesIO(b"cache")), store.put(io.BytesIO(b"both"))
    with database.begin() as tx:
        outputs.save(tx, lease, "key", "dense", cache)
        outputs.save(tx, lease, "other", "dense", both)
        stored_files.attach(tx, lease, "checkpoint", both, "application/octet-stream")
    damage(store, cache.sha256)

    reported, repaired, after = safs("scrub"), safs("scrub", "--repair"), safs("scrub")

    assert reported.exit_code == 1
    assert "safs scrub --repair" in reported.stdout
    assert (repaired.exit_code, after.exit_code) == (0, 0), "nothing names the damaged file any more"
    assert "1 repaired" in repaired.stdout
    damage(store, both.sha256)
    assert safs("scrub", "--repair").exit_code == 1
    with database.read() as tx:
        assert (outputs.find(tx, "key"), outputs.find(tx, "other")) == (None, None)
        assert list(stored_files.of_job(tx, lease.job_id)) == ["checkpoint"]


def test_collect_deletes_what_a_dry_run_has_named(
    safs: Safs, database: Database, store: ArtifactStore, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphan = store.path(store.put(io.BytesIO(b"x" * 5_000)).sha256)
    os.utime(orphan, (time.time() - 2 * 86_400,) * 2)
    with database.begin() as tx:
        queue.finish(tx, lease, JobState.SUCCEEDED)
    monkeypatch.setenv("SAFS_RETENTION_DAYS", "1e-9")

    scrubbed, planned = safs("scrub"), safs("collect", "--dry-run")

    assert "1 more files (5.0 kB) are unreferenced" in scrubbed.stdout
    assert planned.stdout.splitlines()[:2] == ["jobs                 1     ", "files without a row  1     "]
    assert "nothing was deleted" in planned.stdout
    assert orphan.exists()
    assert "freed" in safs("collect").stdout
    assert not orphan.exists()
    with database.read() as tx:
        assert jobs.list(tx).items == ()


@pytest.mark.parametrize("command", [("collect",), ("collect", "--dry-run"), ("scrub",), ("scrub", "--repair")])
@pytest.mark.parametrize(("revision", "error"), [("0009", SchemaNewer), ("0002", SchemaMissing)])
def test_nothing_is_looked_at_or_deleted_under_another_schema(
    safs: Safs,
    database: Database,
    store: ArtifactStore,
    command: tuple[str, ...],
    revision: str,
    error: type[Exception],
) -> None:
    """A newer version may name files in tables that this one does not know."""
    orphan = store.path(store.put(io.BytesIO(b"x")).sha256)
    os.utime(orphan, (time.time() - 2 * 86_400,) * 2)
    with database.begin() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})

    done = safs(*command)

    assert isinstance(done.exception, error)
    assert f"revision {revision}" in str(done.exception)
    assert orphan.exists()


def test_a_retention_that_is_no_time_is_refused(safs: Safs, settings: StoreSettings) -> None:
    done = safs("collect", "--dry-run", "--home", str(settings.home))
    assert done.exit_code == 0

    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SAFS_RETENTION_DAYS", "-1")
        assert "greater than 0" in str(safs("collect").exception)
