"""Events in the life of a runner's lease."""

from store import queue
from store.records import Lease
from store.session import Database


def take_over(database: Database, lease: Lease) -> Lease:
    """Let the lease expire and another runner claim the job; return the new lease."""
    with database.begin() as tx:
        queue.renew(tx, lease, -1)
    with database.begin() as tx:
        claim = queue.claim(tx, "another", 3600)
    assert claim is not None
    return claim.lease
