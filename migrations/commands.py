"""Upgrade, downgrade and look: what ``safs migrate`` and ``/readyz`` call."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Engine, func, select

from store.errors import SchemaMissing, SchemaNewer
from store.session import Database, Transaction, read, shown

LOCK_KEY = 0x5AF5
"""PostgreSQL's advisory lock for migrating; SQLite's own lock of the file does it there."""
_ELSEWHERE = "or set SAFS_HOME / SAFS_DATABASE_URL to where the service's is"
"""Who forgot them looks at a database that is not the service's, and must not migrate that."""


def upgrade(database_url: str, revision: str = "head") -> None:
    """Brings the schema up to ``revision``, in one transaction; two processes may try at once.

    Raises:
        SchemaNewer: a newer version of the program has migrated the database.
    """
    _migrate(database_url, lambda config: command.upgrade(config, revision))


def downgrade(database_url: str, revision: str) -> None:
    """Takes the schema back to ``revision``; ``base`` drops every table with all that is in it."""
    _migrate(database_url, lambda config: command.downgrade(config, revision))


def current(database_url: str) -> str | None:
    """The revision that the database is at, None if it has no schema yet."""
    database = Database(database_url)
    try:
        with database.read() as tx:
            return _revision(tx)
    finally:
        database.dispose()


def head_revision() -> str:
    """The newest revision that this program brings."""
    head = _scripts().get_current_head()
    assert head is not None, "the package has lost its migrations"
    return head


def known_revisions() -> tuple[str, ...]:
    """Every revision that this program can bring a database to, the newest first."""
    return tuple(script.revision for script in _scripts().walk_revisions())


def require_head(engine: Engine) -> None:
    """Makes sure that the database's schema is the one that this program expects.

    Raises:
        SchemaMissing: it has none yet, or an older one.
        SchemaNewer: a newer version of the program has migrated it.
    """
    with read(engine) as tx:
        found = _revision(tx)
    _refuse_newer(found, engine.url)
    if found != head_revision():
        what = "has no schema yet" if found is None else f"is at the older revision {found}"
        raise SchemaMissing(
            f"the database {shown(engine.url)} {what}, and this version needs {head_revision()}; run `safs migrate`, "
            f"{_ELSEWHERE}"
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
            f"the database {shown(url)} is at revision {found}, which this version does not know (it goes up to "
            f"{head_revision()}): a newer version of the program has migrated it. Install that version again, restore "
            f"a backup from before the upgrade, {_ELSEWHERE}"
        )


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(make_config())


def make_config() -> Config:
    """What an ``alembic.ini`` would say, without a database."""
    config = Config()
    # The configuration reads % as the beginning of a variable.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def _revision(tx: Transaction) -> str | None:
    return MigrationContext.configure(tx).get_current_revision()
