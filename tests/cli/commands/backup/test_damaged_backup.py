"""Backups and restores that are refused or interrupted, on both databases."""

import gzip
import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text

from cli import restoration
from migrations import current, head_revision, upgrade
from store import jobs, queue
from store.records import JobState
from store.session import Database
from store.tables import trials as trial_rows
from tests.cli.commands.backup.stored import CHECKPOINT, Service, fill

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def backup(source: Service, database: Database, tmp_path: Path) -> Path:
    fill(database, source.store)
    folder = tmp_path / "backup"
    assert source.run("backup", str(folder)).exit_code == 0
    return folder


def test_a_folder_and_a_tar_file_hold_the_same(source: Service, backup: Path, tmp_path: Path) -> None:
    source.run("backup", str(tmp_path / "same.tar"))

    with tarfile.open(tmp_path / "same.tar") as tar:
        names = {entry.name for entry in tar}
    assert names == {str(path.relative_to(backup)) for path in backup.rglob("*") if path.is_file()}
    assert {"manifest.json", "tables/jobs.jsonl"} < names


def test_nothing_is_written_over(source: Service, backup: Path) -> None:
    assert "already exists" in str(source.run("backup", str(backup)).exception)


def test_a_file_that_is_damaged_is_left_out_and_said(
    source: Service, sqlite_target: Service, tmp_path: Path, database: Database
) -> None:
    fill(database, source.store)
    path = source.store.path(hashlib.sha256(CHECKPOINT).hexdigest())
    path.chmod(0o644)
    path.write_bytes(b"damaged")

    made = source.run("backup", str(tmp_path / "backup"))

    assert made.exit_code == 1
    assert "1 files are damaged or missing" in made.stderr
    assert sqlite_target.run("restore", str(tmp_path / "backup")).exit_code == 0
    assert "missing" in sqlite_target.run("scrub").stdout


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("manifest.json", "manifest.json is damaged"),
        ("tables/trials.jsonl", "tables/trials.jsonl is damaged"),
        ("tables/uploads.jsonl", "tables/uploads.jsonl is damaged"),
        (f"artifacts/{hashlib.sha256(b'dense').hexdigest()[:2]}/{hashlib.sha256(b'dense').hexdigest()}", "damaged"),
    ],
)
@pytest.mark.parametrize("harm", ["flipped", "gone"])
def test_a_backup_that_is_not_whole_leaves_nothing(
    backup: Path, sqlite_target: Service, name: str, reason: str, harm: str
) -> None:
    content = (backup / name).read_bytes()
    (backup / name).unlink()
    if harm == "flipped":
        (backup / name).write_bytes(bytes([content[0] ^ 1]) + content[1:])

    done = sqlite_target.run("restore", str(backup))

    assert done.exit_code == 1
    assert (reason if harm == "flipped" else f"has no {name}") in str(done.exception)
    assert current(sqlite_target.url) is None
    assert not sqlite_target.store.folder.exists()


def test_a_tar_file_that_was_cut_off_or_is_none_is_refused(
    source: Service, backup: Path, sqlite_target: Service, tmp_path: Path
) -> None:
    source.run("backup", str(tmp_path / "whole.tar"))
    whole = (tmp_path / "whole.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "none.tar").write_bytes(gzip.compress(whole))

    assert sqlite_target.run("restore", str(tmp_path / "cut.tar")).exit_code == 1
    assert "neither a folder nor a tar" in str(sqlite_target.run("restore", str(tmp_path / "none.tar")).exception)
    assert "neither a folder nor a tar" in str(sqlite_target.run("restore", str(tmp_path / "nowhere")).exception)
    assert current(sqlite_target.url) is None


def test_a_restore_that_breaks_off_leaves_no_row_and_can_be_done_again(
    backup: Path, sqlite_target: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(tx: Any, *arguments: Any) -> None:
        load(tx, *arguments)
        raise OSError("the power went")

    load = restoration.load
    with monkeypatch.context() as patched:
        patched.setattr(restoration, "load", break_off)
        assert "the power went" in str(sqlite_target.run("restore", str(backup)).exception)

    broken = Database(sqlite_target.url)
    with broken.read() as tx:
        assert jobs.list(tx).items == ()
    broken.dispose()
    assert sqlite_target.run("restore", str(backup)).exit_code == 0


def test_a_target_that_holds_something_is_replaced_only_if_asked(backup: Path, sqlite_target: Service) -> None:
    upgrade(sqlite_target.url)
    other = Database(sqlite_target.url)
    with other.begin() as tx:
        mine = queue.submit(tx, {}).id

    refused = sqlite_target.run("restore", str(backup))
    assert str(refused.exception).startswith(f"the database {sqlite_target.url} is not empty")
    assert "--replace" in str(refused.exception)
    with other.begin() as tx:
        assert queue.claim(tx, "runner-9", lease_s=60) is not None
    busy = sqlite_target.run("restore", str(backup), "--replace")
    assert f"runner-9 runs a job of the database {sqlite_target.url}. Stop the service first" in str(busy.exception)
    with other.begin() as tx:
        assert jobs.get(tx, mine).state is JobState.RUNNING
        tx.execute(text("UPDATE jobs SET lease_expires_at = '2001-01-01T00:00:00.000Z'"))

    assert sqlite_target.run("restore", str(backup), "--replace").exit_code == 0
    with other.read() as tx:
        found = [job.id for job in jobs.list(tx).items]
    other.dispose()
    assert len(found) == 3
    assert mine not in found


def test_a_backup_of_an_older_schema_is_restored_and_upgraded_and_one_of_a_newer_refused(
    backup: Path, sqlite_target: Service
) -> None:
    older = rewritten(backup, "0002")

    assert sqlite_target.run("restore", str(older)).exit_code == 0
    assert current(sqlite_target.url) == head_revision()
    restored = Database(sqlite_target.url)
    with restored.read() as tx:
        assert len(jobs.list(tx).items) == 3
        assert tx.execute(select(func.count()).select_from(trial_rows)).scalar_one() == 4
    restored.dispose()
    assert "--replace needs" in str(sqlite_target.run("restore", str(older), "--replace").exception)
    assert "of a newer version" in str(sqlite_target.run("restore", str(rewritten(backup, "9999"))).exception)


def rewritten(backup: Path, revision: str) -> Path:
    """The backup as the program at ``revision`` would have made it."""
    manifest = json.loads((backup / "manifest.json").read_text())
    manifest["revision"] = revision
    if revision == "0002":
        schema = Database(f"sqlite:///{backup.parent}/old.db")
        upgrade(schema.url.render_as_string(), "0002")
        with schema.read() as tx:
            names = {
                table["name"]: {row.name for row in tx.execute(text(f"PRAGMA table_info({table['name']})"))}
                for table in manifest["tables"]
            }
        schema.dispose()
        manifest["tables"] = [without(backup, table, names[table["name"]]) for table in manifest["tables"]]
        manifest["tables"] = [table for table in manifest["tables"] if table["columns"]]
    content = json.dumps(manifest).encode()
    (backup / "manifest.json").write_bytes(content)
    (backup / "manifest.sha256").write_text(hashlib.sha256(content).hexdigest())
    return backup


def without(backup: Path, table: dict[str, Any], columns: set[str]) -> dict[str, Any]:
    file = backup / "tables" / f"{table['name']}.jsonl"
    kept = [number for number, name in enumerate(table["columns"]) if name in columns]
    lines = [json.dumps([json.loads(line)[number] for number in kept]) + "\n" for line in file.read_text().splitlines()]
    file.write_text("".join(lines))
    return table | {
        "columns": {name: kind for name, kind in table["columns"].items() if name in columns},
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
