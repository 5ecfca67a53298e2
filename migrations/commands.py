"""Upgrade, downgrade and look: what ``safs migrate`` and ``/readyz`` call."""

from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, func, select

from store.session import Database, Transaction, read

LOCK_KEY = 0x5AF5
"""PostgreSQL's advisory lock for migrating; SQLite's own lock of the file does it there."""


def upgrade(database_url: str, revision: str = "head") -> None:
    """Brings the schema up to ``revision``, in one transaction; two processes may try at once."""
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
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None, "the package has lost its migrations"
    return head


def is_at_head(engine: Engine) -> bool:
    """Whether the database's schema is the one that this program expects."""
    with read(engine) as tx:
        return _revision(tx) == head_revision()


def _migrate(database_url: str, change: Callable[[Config], None]) -> None:
    database = Database(database_url)
    try:
        with database.begin() as tx:
            if tx.dialect.name == "postgresql":
                tx.execute(select(func.pg_advisory_xact_lock(LOCK_KEY)))
            config = _config()
            config.attributes["connection"] = tx
            change(config)
    finally:
        database.dispose()


def _config() -> Config:
    config = Config()
    # The configuration reads % as the beginning of a variable.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def _revision(tx: Transaction) -> str | None:
    return MigrationContext.configure(tx).get_current_revision()
