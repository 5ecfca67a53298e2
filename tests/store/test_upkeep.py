"""Collection: what goes, what stays, and nothing that anybody is about to use."""

import io
import os
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, func, insert, select, update

from store import artifacts, chores, counters, events, expiry, outputs, queue, trials, uploads
from store.artifacts import ArtifactStore
from store.clock import seconds_from_now
from store.errors import UploadNotFound
from store.orphans import delete_orphans, find_orphans
from store.records import CurvePoint, JobState, Lease, StoredArtifact, TrialOutcome
from store.session import Database
from store.settings import StoreSettings
from store.tables import artifacts as artifact_rows
from store.tables import events as event_rows
from store.tables import idempotency_keys, jobs, stage_outputs
from store.tables import trial_epochs as epoch_rows
from store.tables import trials as trial_rows
from store.tables import uploads as upload_rows
from store.upkeep import Kind, collect, survey

DAY_S = 86_400


@pytest.fixture
def settings(tmp_path: Path) -> StoreSettings:
    return StoreSettings(home=tmp_path, retention_days=90, outputs_days=30)


@pytest.fixture
def store(settings: StoreSettings) -> ArtifactStore:
    return ArtifactStore(settings.artifacts_folder)


def run(database: Database, store: ArtifactStore, settings: StoreSettings) -> Counter[str]:
    """Collects; what went, by its kind."""
    gone: Counter[str] = Counter()
    for removed in collect(database, store, settings):
        gone[removed.kind] += removed.count
    return +gone


def count(database: Database, table: Table) -> int:
    with database.read() as tx:
        return tx.execute(select(func.count()).select_from(table)).scalar_one()


def age(database: Database, table: Table, days: float, column: str = "created_at") -> None:
    """Makes every row of the table look so old."""
    with database.begin() as tx:
        tx.execute(update(table).values({column: seconds_from_now(-days * DAY_S)}))


def age_files(store: ArtifactStore, days: float) -> None:
    for path in store.folder.rglob("*"):
        os.utime(path, (time.time() - days * DAY_S,) * 2)


def begin(database: Database, spec: dict[str, Any] | None = None, owner: str | None = None) -> Lease:
    """The lease of a new job."""
    with database.begin() as tx:
        queue.submit(tx, spec or {"model": {"weights": None}}, owner=owner)
        claim = queue.claim(tx, "runner-1", lease_s=600)
    assert claim is not None
    return claim.lease


def finish(database: Database, lease: Lease, days_ago: float, state: JobState = JobState.SUCCEEDED) -> None:
    with database.begin() as tx:
        queue.finish(tx, lease, state)
        ended = update(jobs).where(jobs.c.id == lease.job_id)
        tx.execute(ended.values(finished_at=seconds_from_now(-days_ago * DAY_S)))


def attach(database: Database, store: ArtifactStore, lease: Lease, content: bytes) -> StoredArtifact:
    stored = store.put(io.BytesIO(content))
    with database.begin() as tx:
        artifacts.attach(tx, lease, "checkpoint", stored, "application/octet-stream")
    return stored


def keep(database: Database, store: ArtifactStore, lease: Lease, key: str, content: bytes) -> StoredArtifact:
    stored = store.put(io.BytesIO(content))
    with database.begin() as tx:
        outputs.keep(tx, lease, key, "dense", stored)
    return stored


def add_trial(database: Database, lease: Lease, number: int, epochs: int = 2) -> None:
    curve = [CurvePoint(epoch, 0.5, 0.4, 0.9, 1e-3, 0.1) for epoch in range(1, epochs + 1)]
    outcome = TrialOutcome(loss=0.1, seconds=1.5)
    with database.begin() as tx:
        trials.record_done(tx, lease, "tune", number, config={}, epochs=epochs, seed=1, outcome=outcome, curve=curve)
        events.append(tx, lease, "note", {"message": "done"})


def test_old_jobs_go_with_all_that_is_theirs_and_their_totals_stay(
    database: Database, store: ArtifactStore, settings: StoreSettings
) -> None:
    old, fresh = begin(database), begin(database)
    gone, stays = attach(database, store, old, b"old"), attach(database, store, fresh, b"fresh")
    for number in range(50):
        add_trial(database, old, number)
    add_trial(database, fresh, 0)
    finish(database, old, days_ago=91)
    finish(database, fresh, days_ago=89)
    age(database, artifact_rows, 91)
    age_files(store, 91)

    steps = list(collect(database, store, settings))

    assert sum(step.count for step in steps if step.kind is Kind.JOB) == 1
    assert sum(step.kind is Kind.JOB for step in steps) >= 4, "a large job goes in pieces"
    with database.read() as tx:
        assert [job.id for job in queue.list(tx).items] == [fresh.job_id]
        found = counters.read(tx)
    assert {name: found[name] for name in ("jobs_succeeded", "trial_count", "trial_seconds")} == {
        "jobs_succeeded": 1,
        "trial_count": 50,
        "trial_seconds": 75,
    }
    assert [count(database, table) for table in (trial_rows, epoch_rows, event_rows)] == [1, 2, 1]
    assert not store._location(gone.sha256).exists()
    assert store.intact_path(stays.sha256)
    assert run(database, store, settings) == {}


def test_nothing_but_caches_goes_by_default(database: Database, store: ArtifactStore, tmp_path: Path) -> None:
    lease = begin(database)
    result, output = attach(database, store, lease, b"result"), keep(database, store, lease, "key", b"output")
    with database.begin() as tx:
        upload = uploads.create(tx, store.put(io.BytesIO(b"upload")), "dense.safetensors", 1)
    finish(database, lease, days_ago=1000)
    for table in (artifact_rows, upload_rows, stage_outputs):
        age(database, table, 1000)
    age_files(store, 1000)
    settings = StoreSettings(home=tmp_path)

    assert run(database, store, settings) == {Kind.OUTPUT: 1}
    assert store.intact_path(result.sha256)
    assert store.intact_path(upload.sha256)
    assert store.intact_path(output.sha256), "for a day, for those who have just found it"
    age(database, artifact_rows, 1000)
    assert run(database, store, settings) == {Kind.ARTIFACT: 1, Kind.FILE: 1}
    assert not store._location(output.sha256).exists()


def test_what_an_unfinished_job_works_with_stays(
    database: Database, store: ArtifactStore, settings: StoreSettings
) -> None:
    maker = begin(database)
    output = keep(database, store, maker, "key", b"output")
    finish(database, maker, days_ago=1000)
    finder = begin(database)
    own = keep(database, store, finder, "own", b"own")
    with database.begin() as tx:
        queue.note_reuse(tx, finder, "dense", maker.job_id)
    for table in (artifact_rows, stage_outputs):
        age(database, table, 1000)
    age_files(store, 1000)

    assert run(database, store, settings) == {}
    assert store.intact_path(output.sha256)
    assert store.intact_path(own.sha256)

    finish(database, finder, days_ago=1000)
    assert run(database, store, settings) == {Kind.JOB: 2}


def test_gpu_hours_that_a_quota_still_counts_keep_their_job(
    database: Database, store: ArtifactStore, tmp_path: Path
) -> None:
    settings = StoreSettings(home=tmp_path, retention_days=1)
    theirs, nobodys = begin(database, owner="vision"), begin(database)
    for lease in (theirs, nobodys):
        with database.begin() as tx:
            queue.pin_gpus(tx, lease, 0.5)
        add_trial(database, lease, 0)
        finish(database, lease, days_ago=29)

    assert run(database, store, settings) == {Kind.JOB: 1}
    with database.read() as tx:
        assert counters.read(tx)["gpu_seconds"] == 0.75
    age(database, jobs, 31, "finished_at")
    assert run(database, store, settings) == {Kind.JOB: 1}


def test_an_upload_goes_once_no_job_names_it(database: Database, store: ArtifactStore, settings: StoreSettings) -> None:
    with database.begin() as tx:
        used, unused = (
            uploads.create(tx, store.put(io.BytesIO(name.encode())), name, 1) for name in ("used", "unused")
        )
    lease = begin(database, {"model": {"weights": used.id}})
    finish(database, lease, days_ago=1)
    for table in (upload_rows, artifact_rows):
        age(database, table, 91)
    age_files(store, 91)

    assert run(database, store, settings) == {Kind.UPLOAD: 1, Kind.ARTIFACT: 1, Kind.FILE: 1}
    with database.begin() as tx:
        uploads.hold(tx, used.id)
        with pytest.raises(UploadNotFound, match=unused.id):
            uploads.hold(tx, unused.id)
    age(database, jobs, 91, "finished_at")
    assert run(database, store, settings)[Kind.UPLOAD] == 1


def test_an_upload_that_a_job_is_being_submitted_with_stays(
    database: Database, store: ArtifactStore, settings: StoreSettings
) -> None:
    with database.begin() as tx:
        upload = uploads.create(tx, store.put(io.BytesIO(b"weights")), "dense.safetensors", 1)
    age(database, upload_rows, 91)
    held, collected = threading.Event(), threading.Event()

    def submit() -> None:
        with database.begin() as tx:
            uploads.hold(tx, upload.id)
            held.set()
            collected.wait(0.2)  # On SQLite the collector waits for this transaction, on PostgreSQL it goes on.
            queue.submit(tx, {"model": {"weights": upload.id}})

    submitter = threading.Thread(target=submit)
    submitter.start()
    held.wait()
    gone = run(database, store, settings)
    collected.set()
    submitter.join()

    assert gone == {}
    assert count(database, upload_rows) == 1


def test_answers_go_after_a_day(database: Database, store: ArtifactStore, settings: StoreSettings) -> None:
    lease = begin(database)
    row = {"owner": "", "request_sha256": "0" * 64, "job_id": lease.job_id, "answer": "{}"}
    with database.begin() as tx:
        for key, hours in (("old", 25), ("fresh", 23)):
            tx.execute(
                insert(idempotency_keys).values(row | {"key": key, "created_at": seconds_from_now(-hours * 3600)})
            )

    assert run(database, store, settings) == {Kind.ANSWER: 1}
    assert count(database, idempotency_keys) == 1


def test_files_that_no_row_names_go_after_a_day_and_what_is_not_ours_stays(
    sqlite_database: Database, store: ArtifactStore, settings: StoreSettings
) -> None:
    store.put(io.BytesIO(b"orphan"))
    (store.folder / "incoming-killed").write_bytes(b"half")
    (store.folder / "ab").mkdir()
    (store.folder / "ab" / "README").write_bytes(b"mine")

    assert run(sqlite_database, store, settings) == {}
    age_files(store, 2)
    assert run(sqlite_database, store, settings) == {Kind.FILE: 2}
    assert [path.name for path in store.folder.rglob("*") if path.is_file()] == [".lock", "README"]


def test_content_that_is_put_again_just_before_its_file_would_go_stays(
    database: Database, lease: Lease, store: ArtifactStore, settings: StoreSettings
) -> None:
    stored = attach(database, store, lease, b"content")
    with database.begin() as tx:
        tx.execute(jobs.delete())
    age(database, artifact_rows, 2)
    age_files(store, 2)
    again = begin(database)
    steps = collect(database, store, settings)
    while next(steps).kind is not Kind.ARTIFACT:
        pass

    store.put(io.BytesIO(b"content"))  # its row has gone, its file would be next
    for _ in steps:
        pass

    with database.begin() as tx:
        artifacts.attach(tx, again, "checkpoint", stored, "application/octet-stream")
    assert store.intact_path(stored.sha256)


def test_a_file_that_is_put_again_after_it_was_found_is_no_orphan(
    sqlite_database: Database, store: ArtifactStore
) -> None:
    stored = store.put(io.BytesIO(b"content"))
    age_files(store, 2)
    (found,) = [orphans for orphans in find_orphans(sqlite_database, store) if orphans]

    store.put(io.BytesIO(b"content"))

    assert [orphan.path.name for orphan in found] == [stored.sha256]
    assert delete_orphans(store, found) == []
    age_files(store, 2)
    with store.lock.writing():
        assert delete_orphans(store, found) == [], "somebody writes"
    assert delete_orphans(store, found) == found


def test_content_that_is_attached_while_its_row_would_go_keeps_its_row(
    database: Database, store: ArtifactStore, settings: StoreSettings
) -> None:
    lease = begin(database)
    stored = attach(database, store, lease, b"content")
    with database.begin() as tx:
        tx.execute(jobs.delete())
    age(database, artifact_rows, 2)
    other = begin(database)
    with database.read() as tx:
        unnamed = expiry.find_unnamed(tx)
    with database.begin() as tx:
        artifacts.attach(tx, other, "checkpoint", stored, "application/octet-stream")

    with database.begin() as tx:
        assert (list(unnamed), expiry.delete_unnamed(tx, unnamed)) == ([stored.sha256], 0)


def test_writers_and_collectors_that_never_stop_lose_no_content_that_has_a_name(
    database: Database, store: ArtifactStore, settings: StoreSettings
) -> None:
    contents = [bytes([number]) * 100 for number in range(8)]
    stopping, failures = threading.Event(), []
    writing: Counter[bytes] = Counter()
    changing = threading.Lock()
    leases = [begin(database) for _ in range(2)]

    def write(lease: Lease) -> None:
        try:
            for turn in range(30):
                content = contents[turn % len(contents)]
                with changing:
                    writing[content] += 1
                stored = attach(database, store, lease, content)
                assert store.intact_path(stored.sha256)
                with changing:
                    writing[content] -= 1
        except Exception as error:
            failures.append(error)

    def sweep() -> None:
        try:
            while not stopping.is_set():
                age(database, artifact_rows, 2)
                for path in store.folder.glob("??/*"):
                    # Between a file and its row lies less than a day: only others look old.
                    with changing, path.open("rb") as file:
                        if not writing[file.read()]:
                            os.utime(file.fileno(), (time.time() - 2 * DAY_S,) * 2)
                run(database, store, settings)
        except Exception as error:
            failures.append(error)

    sweeper = threading.Thread(target=sweep)
    writers = [threading.Thread(target=write, args=(lease,)) for lease in leases]
    for thread in (sweeper, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stopping.set()
    sweeper.join()

    assert failures == []


def test_a_survey_says_what_would_go_and_deletes_nothing(
    database: Database, store: ArtifactStore, settings: StoreSettings
) -> None:
    lease = begin(database)
    attach(database, store, lease, b"result")
    finish(database, lease, days_ago=91, state=JobState.CANCELLED)
    store.put(io.BytesIO(b"orphan"))
    age_files(store, 2)

    told: Counter[str] = Counter()
    for found in survey(database, store, settings):
        told[found.kind] += found.count

    assert +told == {Kind.JOB: 1, Kind.FILE: 1}
    assert count(database, jobs) == 1
    assert run(database, store, settings) == {Kind.JOB: 1, Kind.FILE: 1}


def test_a_chore_is_claimed_once_whoever_asks(database: Database) -> None:
    claimed: list[bool] = []

    def ask() -> None:
        with database.begin() as tx:
            claimed.append(chores.claim(tx, "collect", every_s=3600))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(claimed) == [False] * 5 + [True]
    with database.begin() as tx:
        assert chores.claim(tx, "collect", every_s=0)
