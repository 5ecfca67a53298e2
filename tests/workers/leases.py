"""What may happen to a runner's lease."""

from store import queue
from store.records import Lease
from store.session import Database


def take_over(database: Database, lease: Lease) -> None:
    """Lets the lease expire and another runner claim the job."""
    with database.begin() as tx:
        queue.renew(tx, lease, -1)
    with database.begin() as tx:
        assert queue.claim(tx, "another", 60) is not None
