"""Upgrade, downgrade and inspection of the schema, as used by ``safs migrate`` and ``/readyz``."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Engine, func, select

from store.database_errors import redacted
from store.errors import SchemaMissing, SchemaNewer
from store.session import Database, Transaction, read

LOCK_KEY = 0x5AF5
"""Key of the PostgreSQL advisory lock for migrations. On SQLite the lock of the database file serves the purpose."""
_OR_ANOTHER = "or set SAFS_HOME / SAFS_DATABASE_URL to the service's database"
"""End of error messages: without these variables a command may look at, and migrate, the wrong database."""


def upgrade(database_url: str, revision: str = "head") -> None:
    """Upgrade the schema to ``revision`` in one transaction; several processes can call this at the same time.

    Raises:
        SchemaNewer: a newer version of the program has migrated the database.
    """
    _migrate(database_url, lambda config: command.upgrade(config, revision))


def downgrade(database_url: str, revision: str) -> None:
    """Downgrade the schema to ``revision``; ``base`` drops all tables with their content."""
    _migrate(database_url, lambda config: command.downgrade(config, revision))


def current(database_url: str) -> str | None:
    """The revision of the database's schema; None if it has no schema yet."""
    database = Database(database_url)
    try:
        with database.read() as tx:
            return _revision(tx)
    finally:
        database.dispose()


def head_revision() -> str:
    """The newest revision that this version of the program has."""
    head = _scripts().get_current_head()
    assert head is not None, "the package has no migrations"
    return head


def known_revisions() -> tuple[str, ...]:
    """All revisions that this version of the program has, newest first."""
    return tuple(script.revision for script in _scripts().walk_revisions())


def require_head(engine: Engine) -> None:
    """Check that the database's schema is at the head revision.

    Raises:
        SchemaMissing: the database has no schema yet, or an older one.
        SchemaNewer: a newer version of the program has migrated the database.
    """
    with read(engine) as tx:
        found = _revision(tx)
    _refuse_newer(found, engine.url)
    if found != head_revision():
        state = "has no schema yet" if found is None else f"is at the older revision {found}"
        raise SchemaMissing(
            f"the database {redacted(engine.url)} {state}, and this version needs {head_revision()}; run "
            f"`safs migrate`, {_OR_ANOTHER}"
        )


def _migrate(database_url: str, change: Callable[[Config], None]) -> None:
    database = Database(database_url)
    try:
        with database.begin() as tx:
            if tx.dialect.name == "postgresql":
                tx.execute(select(func.pg_advisory_xact_lock(LOCK_KEY)))
            _refuse_newer(_revision(tx), database.url)
            config = make_config()
            config.attributes["connection"] = tx
            change(config)
    finally:
        database.dispose()


def _refuse_newer(found: str | None, url: URL) -> None:
    if found is not None and found not in known_revisions():
        raise SchemaNewer(
            f"the database {redacted(url)} is at revision {found}, which this version does not know (it goes up to "
            f"{head_revision()}): a newer version of the program has migrated it. Install that version again, restore "
            f"a backup from before the upgrade, {_OR_ANOTHER}"
        )


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(make_config())


def make_config() -> Config:
    """The Alembic configuration, without a database connection."""
    config = Config()
    # Alembic's configuration interpolates %.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def _revision(tx: Transaction) -> str | None:
    return MigrationContext.configure(tx).get_current_revision()
