"""INSERT ... ON CONFLICT, which SQLite and PostgreSQL share and SQLAlchemy keeps apart."""

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite

from store.records import Json
from store.session import Transaction


def insert_or_update(tx: Transaction, table: Table, values: Json) -> None:
    """Writes the row; one that has the same primary key gets these values, its other columns stay."""
    insert = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
    key = [column.name for column in table.primary_key]
    changed = {name: value for name, value in values.items() if name not in key}
    tx.execute(insert(table).values(values).on_conflict_do_update(index_elements=key, set_=changed))
