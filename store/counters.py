"""Numbers that only grow and outlive the rows that they count: what deleted jobs took, leases that were lost."""

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from store.session import Transaction
from store.tables import counters

LEASE_LOSSES = "lease_losses"
"""How often a runner learnt that its job was someone else's."""


def add(tx: Transaction, amounts: Mapping[str, float]) -> None:
    """Adds to the counters of these names; one that is not there begins at 0."""
    insert = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
    for name, amount in sorted(amounts.items()):  # always in this order, so that two who add to several never deadlock
        row = insert(counters).values(name=name, value=amount)
        more = {"value": counters.c.value + row.excluded.value}
        tx.execute(row.on_conflict_do_update(index_elements=[counters.c.name], set_=more))


def read(tx: Transaction) -> dict[str, float]:
    """All counters by name."""
    return {row.name: row.value for row in tx.execute(select(counters.c.name, counters.c.value))}
