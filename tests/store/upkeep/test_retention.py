"""Collection of rows: the deleted rows, the kept rows, and the preview of both."""

import io
import threading
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import insert

from store import attempts, counters, jobs, queue, uploads
from store.artifacts import stored_files
from store.artifacts.stored_files import ArtifactStore
from store.clock import seconds_from_now
from store.errors import UploadNotFound
from store.records import JobState
from store.session import Database
from store.settings import StoreSettings
from store.tables import artifacts as artifact_rows
from store.tables import events as event_rows
from store.tables import idempotency_keys, stage_outputs
from store.tables import jobs as job_rows
from store.tables import trial_epochs as epoch_rows
from store.tables import trials as trial_rows
from store.tables import uploads as upload_rows
from store.upkeep import chores
from store.upkeep.collection import Kind, collect, preview
from tests.store.belongings import add_trial, age, age_files, attach, begin, count, finish, keep, run


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
        assert [job.id for job in jobs.list(tx).items] == [fresh.job_id]
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


def test_an_export_that_was_made_after_the_end_goes_with_its_job(
    database: Database, store: ArtifactStore, settings: StoreSettings
) -> None:
    old, fresh = begin(database), begin(database)
    for lease, days in ((old, 91), (fresh, 1)):
        finish(database, lease, days_ago=days)
        with database.begin() as tx:
            stored = store.put(io.BytesIO(b"export of %d" % days))
            stored_files.attach_later(tx, lease.job_id, "export-onnx@0.95", stored, "application/octet-stream")
    age(database, artifact_rows, 91)
    age_files(store, 91)

    run(database, store, settings)

    with database.read() as tx:
        (kept,) = stored_files.of_job(tx, fresh.job_id).values()
    assert store.intact_path(kept.sha256).read_bytes() == b"export of 1"
    assert count(database, artifact_rows) == 1


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
        attempts.note_reuse(tx, finder, "dense", maker.job_id)
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
            attempts.pin_gpus(tx, lease, 0.5)
        add_trial(database, lease, 0)
        finish(database, lease, days_ago=29)

    assert run(database, store, settings) == {Kind.JOB: 1}
    with database.read() as tx:
        assert counters.read(tx)["gpu_seconds"] == 0.75
    age(database, job_rows, 31, "finished_at")
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
        uploads.lock(tx, used.id)
        with pytest.raises(UploadNotFound, match=unused.id):
            uploads.lock(tx, unused.id)
    age(database, job_rows, 91, "finished_at")
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
            uploads.lock(tx, upload.id)
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


def test_a_survey_says_what_would_go_and_deletes_nothing(
    database: Database, store: ArtifactStore, settings: StoreSettings
) -> None:
    lease = begin(database)
    attach(database, store, lease, b"result")
    finish(database, lease, days_ago=91, state=JobState.CANCELLED)
    store.put(io.BytesIO(b"orphan"))
    age_files(store, 2)

    told: Counter[str] = Counter()
    for found in preview(database, store, settings):
        told[found.kind] += found.count

    assert +told == {Kind.JOB: 1, Kind.FILE: 1}
    assert count(database, job_rows) == 1
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
