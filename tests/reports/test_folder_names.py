"""Folders whose names have characters with a meaning in URLs, SQL or configuration files."""

import io
import os
from pathlib import Path

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from api.settings import ApiSettings
from cli.main import make_app
from migrations import current, head_revision, upgrade
from store import api_keys, jobs, queue
from store.artifacts.object_storage import ObjectStorage
from store.artifacts.stored_files import ArtifactStore, artifact_store
from store.session import Database
from store.settings import StoreSettings

NAMES = [
    "50%20off",
    "a%3Fb",
    "100%",
    "a#b",
    "a?b=c",
    "two words",
    "Zoë 网络",
    "a+b&c",
    "a:b@c",
    "it's",
    "a;b",
    "[x]{y}*",
]


@pytest.fixture(params=NAMES)
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the settings name as the home, not created yet."""
    home = tmp_path / request.param
    monkeypatch.setenv("SAFS_HOME", str(home))
    monkeypatch.delenv("SAFS_DATABASE_URL", raising=False)
    monkeypatch.delenv("SAFS_ARTIFACTS_URL", raising=False)
    return home


def test_database_and_artifacts_are_in_the_home(folder: Path) -> None:
    settings = StoreSettings()

    upgrade(settings.database_url)
    database, store = Database(settings.database_url), artifact_store(settings)
    with database.begin() as tx:
        job = queue.submit(tx, {})
    stored = store.put(io.BytesIO(b"content"))

    assert current(settings.database_url) == head_revision()
    assert Database(database.url.render_as_string()).query(lambda tx: jobs.get(tx, job.id)) == job
    assert store.intact_path(stored.sha256).read_bytes() == b"content"
    assert [file.name for file in folder.parent.iterdir()] == [folder.name], "nothing is written beside the home"
    assert {"safs.db", "artifacts"} <= {file.name for file in folder.iterdir()}
    database.dispose()


def test_a_key_from_the_command_line_opens_the_network_for_the_api(folder: Path) -> None:
    settings = ApiSettings(host="0.0.0.0")
    with pytest.raises(PermissionError):
        settings.refuse_open_network()
    assert not folder.exists(), "looking for a key creates no database"

    made = CliRunner().invoke(make_app(), ["keys", "create", "--owner", "vision", "--scopes", "read"])
    again = CliRunner().invoke(make_app(), ["keys", "create", "--owner", "vision", "--scopes", "read"])

    assert (made.exit_code, again.exit_code) == (0, 0)
    settings.refuse_open_network()
    database = Database(settings.database_url)
    assert len(database.query(api_keys.list)) == 2
    database.dispose()


def test_a_backup_goes_from_and_to_such_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = StoreSettings()
    upgrade(settings.database_url)
    database = Database(settings.database_url)
    with database.begin() as tx:
        job = queue.submit(tx, {})
    database.dispose()

    saved = CliRunner().invoke(make_app(), ["backup", str(folder / "saved.tar")])
    other = folder / "other" / folder.name
    monkeypatch.setenv("SAFS_HOME", str(other))
    restored = CliRunner().invoke(make_app(), ["restore", str(folder / "saved.tar")])

    assert (saved.exit_code, restored.exit_code) == (0, 0), (saved.output, restored.output)
    database = Database(StoreSettings().database_url)
    assert database.query(lambda tx: jobs.get(tx, job.id)) == job
    assert (other / "safs.db").is_file()
    database.dispose()


def test_such_a_folder_serves_as_object_storage(folder: Path) -> None:
    storage = ObjectStorage(f"file://{folder}/bucket")
    store = ArtifactStore(folder / "cache", object_storage=storage)

    stored = store.put(io.BytesIO(b"content"))
    store.path(stored.sha256).unlink()

    assert store.intact_path(stored.sha256).read_bytes() == b"content"
    assert (folder / "bucket" / stored.sha256[:2] / stored.sha256).is_file()
    assert [file.name for files in storage.list() for file in files] == [stored.sha256]
    assert str(storage) == f"file://{folder}/bucket"


def test_a_path_that_fsspec_would_read_as_two_urls_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAFS_ARTIFACTS_URL", "file:///srv/a::b")

    with pytest.raises(ValidationError, match="contains '::'"):
        StoreSettings()


def test_a_home_that_is_not_utf_8_is_refused_with_its_name() -> None:
    with pytest.raises(ValidationError, match=r"/srv/\\udcff' is not UTF-8; choose another folder"):
        StoreSettings(home=Path(os.fsdecode(b"/srv/\xff")))
