"""Databases that earlier releases left, upgraded by this one and then used; golden/README.md says how they are made."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from api.app import create_app
from api.settings import ApiSettings
from migrations import head_revision, require_head, upgrade
from safs.spec.job import JobSpec
from store import attempts, events, jobs, outputs, queue, statistics, trials
from store.artifacts.stored_files import ArtifactStore
from store.records import JobState
from store.session import Database
from store.upkeep.archive import open_archive
from store.upkeep.backup import Manifest
from store.upkeep.restore import load, read_manifest, store_artifacts, verify
from tests.api.conftest import from_this_machine
from tests.migrations.golden import make

GOLDEN = Path(__file__).parent / "golden"
RELEASES = sorted(folder.name for folder in GOLDEN.iterdir() if (folder / "manifest.json").exists())


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> Path:
    """The folder of one release."""
    return GOLDEN / str(request.param)


@pytest.fixture
def facts(release: Path) -> dict[str, str]:
    """Facts that the rows do not contain."""
    found: dict[str, str] = json.loads((release / "facts.json").read_text())
    return found


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


@pytest.fixture
def manifest(release: Path, store: ArtifactStore, empty_database_url: str) -> Manifest:
    """The database of a release, with rows in its schema, upgraded by this program."""
    database = Database(empty_database_url)
    with open_archive(release) as archive:
        found = read_manifest(archive)
        verify(archive, found, lambda done, of: None)
        store_artifacts(archive, found, store, lambda done, of: None)
        upgrade(empty_database_url, found.revision)
        with database.begin() as tx:
            load(tx, archive, found)
    database.dispose()
    upgrade(empty_database_url)
    return found


@pytest.fixture
def database(manifest: Manifest, empty_database_url: str) -> Iterator[Database]:
    database = Database(empty_database_url)
    yield database
    database.dispose()


@pytest.fixture
def ids(database: Database) -> dict[str, str]:
    """Name -> id."""
    with database.read() as tx:
        return {str(job.name): job.id for job in jobs.list(tx).items}


@pytest.fixture
def http(database: Database, facts: dict[str, str], empty_database_url: str, tmp_path: Path) -> Iterator[TestClient]:
    """The API on it, asked by the owner of its jobs."""
    with from_this_machine(create_app(ApiSettings(home=tmp_path, database_url=empty_database_url))) as client:
        if "token" in facts:
            client.headers["Authorization"] = f"Bearer {facts['token']}"
        yield client


def test_this_release_has_a_golden_database() -> None:
    assert head_revision() in RELEASES, "python -m tests.migrations.golden.make"


def test_every_row_is_still_there_and_they_add_up(database: Database, manifest: Manifest) -> None:
    require_head(database.engine)
    with database.read() as tx:
        counts = {dump.name: tx.execute(text(f"SELECT count(*) FROM {dump.name}")).scalar() for dump in manifest.tables}
        output = outputs.find(tx, "0" * 64)
        found = statistics.read(tx)

    assert counts == {dump.name: dump.rows for dump in manifest.tables}
    assert all(counts.values())
    assert output is not None
    assert output.stage == "dense"
    # Three trials of the job that succeeded, one each of those that run, and what 0003 has in its counters.
    of_deleted = 40 if found.lease_losses else 0
    assert found.totals["trial_count"] == 5 + of_deleted
    assert found.totals["trial_seconds"] == pytest.approx(1.25 + (120.5 if of_deleted else 0))
    assert found.artifacts == 4


def test_jobs_of_every_state_are_listed_for_the_key_of_their_owner_and_their_specs_can_still_be_run(
    http: TestClient, ids: dict[str, str], facts: dict[str, str]
) -> None:
    listed = http.get("/v1/jobs").json()["items"]
    stranger = http.get("/v1/jobs", headers={"Authorization": "Bearer safs_00000000_0"})

    assert {job["name"]: job["state"] for job in listed} == {state.value: state.value for state in JobState}
    for job in listed:
        JobSpec.model_validate(job["spec"])
    # Before there were keys, this machine's own programs came in, whatever they sent.
    assert stranger.status_code == (401 if "token" in facts else 200)
    failed = http.get(f"/v1/jobs/{ids['failed']}").json()
    assert failed["error"]["code"] == "data_unavailable"
    assert http.get(f"/v1/jobs/{ids['succeeded']}").json()["result"]["test_accuracy"] == 0.93


def test_trials_are_told_and_results_and_uploads_are_served_byte_by_byte(
    http: TestClient, ids: dict[str, str], facts: dict[str, str]
) -> None:
    of_job = f"/v1/jobs/{ids['succeeded']}"

    trials_told = http.get(f"{of_job}/trials").json()["items"]
    curve = http.get(f"{of_job}/trials/tune/0/curve").json()
    happened = http.get(f"{of_job}/events").json()["items"]
    checkpoint = http.get(f"{of_job}/checkpoint")
    upload = http.get(f"/v1/uploads/{facts['upload']}").json()

    assert [trial["state"] for trial in trials_told] == ["done", "done", "failed"]
    assert [point["epoch"] for point in curve["epochs"]] == [1, 2]
    assert [event["kind"] for event in happened] == ["note", "stage_started"]
    assert hashlib.sha256(checkpoint.content).hexdigest() == facts["checkpoint"] == upload["sha256"]
    # Uploads from before tensors were counted say nothing of it.
    assert (upload["filename"], upload["tensors"]) == ("dense.safetensors", 1 if "token" in facts else None)
    assert http.get(f"{of_job}/report").content == b"report of a job"


def test_a_runner_goes_on_with_what_ran_and_begins_what_waited(database: Database, ids: dict[str, str]) -> None:
    claimed = []
    for _ in range(3):
        with database.begin() as tx:
            claimed.append(queue.claim(tx, "new", lease_s=60))

    resumed, begun, none = claimed
    assert none is None
    assert resumed is not None
    assert begun is not None
    assert (resumed.job.id, resumed.job.attempt, resumed.job.runners_lost) == (ids["running"], 2, 1)
    assert (begun.job.id, begun.job.attempt, begun.job.runners_lost) == (ids["queued"], 1, 0)
    with database.begin() as tx:
        assert jobs.get(tx, ids["cancelling"]).state is JobState.CANCELLED
        (known,) = trials.finished(tx, resumed.job.id, "activations")
        assert [point.epoch for point in known.curve] == [1, 2]
        assert attempts.pin_in_flight(tx, resumed.lease, 7) == 2
        assert events.append(tx, resumed.lease, "note", {"message": "on it goes", "level": "info"}) > 2
        queue.finish(tx, resumed.lease, JobState.SUCCEEDED, result={})


def test_the_folder_of_the_newest_revision_can_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "HERE", tmp_path)

    make.main()

    with open_archive(tmp_path / head_revision()) as archive:
        found = read_manifest(archive)
        verify(archive, found, lambda done, of: None)
    assert found.revision == head_revision()
    assert all(table.rows for table in found.tables)
