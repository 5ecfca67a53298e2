"""Source and target of a restore, on both databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from store.session import Database
from tests.cli.commands.backup.stored import Safs, Service


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def source(safs: Safs, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    return Service(safs, tmp_path / "source", database_url, monkeypatch)


@pytest.fixture
def database(source: Service) -> Iterator[Database]:
    database = Database(source.url)
    yield database
    database.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def target(request: pytest.FixtureRequest, safs: Safs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    """An empty home, and a database that has not even tables."""
    home = tmp_path / "target"
    url = f"sqlite:///{home}/safs.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("empty_postgresql_url")
    return Service(safs, home, url, monkeypatch)


@pytest.fixture
def sqlite_target(safs: Safs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    home = tmp_path / "target"
    return Service(safs, home, f"sqlite:///{home}/safs.db", monkeypatch)
