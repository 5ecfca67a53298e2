"""Collection of files: unreferenced files are deleted, and files about to be referenced are kept."""

import io
import os
import threading
import time
from collections import Counter

from store.artifacts import stored_files
from store.artifacts.stored_files import ArtifactStore
from store.records import Lease
from store.session import Database
from store.settings import StoreSettings
from store.tables import artifacts as artifact_rows
from store.tables import jobs as job_rows
from store.upkeep import expiry
from store.upkeep.collection import Kind, collect
from store.upkeep.orphans import delete_orphans, find_orphans
from tests.store.belongings import DAY_S, age, age_files, attach, begin, run


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
        tx.execute(job_rows.delete())
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
        stored_files.attach(tx, again, "checkpoint", stored, "application/octet-stream")
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
    with store.lock.shared():
        assert delete_orphans(store, found) == [], "somebody writes"
    assert delete_orphans(store, found) == found


def test_content_that_is_attached_while_its_row_would_go_keeps_its_row(
    database: Database, store: ArtifactStore, settings: StoreSettings
) -> None:
    lease = begin(database)
    stored = attach(database, store, lease, b"content")
    with database.begin() as tx:
        tx.execute(job_rows.delete())
    age(database, artifact_rows, 2)
    other = begin(database)
    with database.read() as tx:
        unnamed = expiry.find_unreferenced(tx)
    with database.begin() as tx:
        stored_files.attach(tx, other, "checkpoint", stored, "application/octet-stream")

    with database.begin() as tx:
        assert (list(unnamed), expiry.delete_unreferenced(tx, unnamed)) == ([stored.sha256], 0)


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
