"""A job in the hands of a runner."""

import pytest

from store import queue
from store.records import Lease
from store.session import Database


@pytest.fixture
def lease(database: Database) -> Lease:
    """The lease of the one job in the queue, just claimed, with a minute to go."""
    with database.begin() as tx:
        queue.submit(tx, {"sparsity": 0.99})
        claim = queue.claim(tx, "runner-1", lease_s=60)
    assert claim is not None
    return claim.lease
