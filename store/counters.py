"""Counters that only grow and outlive the rows that they count, such as totals of deleted jobs and lost leases."""

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from store.session import Transaction
from store.tables import counters

LEASE_LOSSES = "lease_losses"
"""Name of the counter of lost leases."""


def add(tx: Transaction, amounts: Mapping[str, float]) -> None:
    """Add ``amounts`` to the counters of these names; a counter that does not exist starts at 0."""
    insert = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
    for name, amount in sorted(amounts.items()):  # the same order in every transaction, to avoid deadlocks
        row = insert(counters).values(name=name, value=amount)
        more = {"value": counters.c.value + row.excluded.value}
        tx.execute(row.on_conflict_do_update(index_elements=[counters.c.name], set_=more))


def read(tx: Transaction) -> dict[str, float]:
    """All counters by name."""
    return {row.name: row.value for row in tx.execute(select(counters.c.name, counters.c.value))}
