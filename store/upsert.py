"""INSERT ... ON CONFLICT, which SQLite and PostgreSQL share and SQLAlchemy keeps apart."""

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite

from store.records import Json
from store.session import Transaction


def insert_or_update(tx: Transaction, table: Table, values: Json) -> None:
    """Writes the row; one that has the same primary key gets these values, its other columns stay."""
    key = [column.name for column in table.primary_key]
    changed = {name: value for name, value in values.items() if name not in key}
    tx.execute(_insert(tx, table).values(values).on_conflict_do_update(index_elements=key, set_=changed))


def insert_if_absent(tx: Transaction, table: Table, values: Json) -> None:
    """Writes the row unless there is one with the same primary key."""
    tx.execute(_insert(tx, table).values(values).on_conflict_do_nothing())


def _insert(tx: Transaction, table: Table) -> postgresql.Insert | sqlite.Insert:
    return postgresql.insert(table) if tx.dialect.name == "postgresql" else sqlite.insert(table)
