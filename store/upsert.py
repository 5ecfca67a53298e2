"""INSERT ... ON CONFLICT for both databases; SQLAlchemy has a separate construct for each."""

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite

from store.records import Json
from store.session import Transaction


def insert_or_update(tx: Transaction, table: Table, values: Json) -> None:
    """Insert the row, or update these columns of the row with the same primary key."""
    key = [column.name for column in table.primary_key]
    changed = {name: value for name, value in values.items() if name not in key}
    tx.execute(_insert(tx, table).values(values).on_conflict_do_update(index_elements=key, set_=changed))


def insert_if_absent(tx: Transaction, table: Table, values: Json) -> None:
    """Insert the row unless there is one with the same primary key."""
    tx.execute(_insert(tx, table).values(values).on_conflict_do_nothing())


def _insert(tx: Transaction, table: Table) -> postgresql.Insert | sqlite.Insert:
    return postgresql.insert(table) if tx.dialect.name == "postgresql" else sqlite.insert(table)
