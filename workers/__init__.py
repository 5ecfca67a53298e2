"""Runners: they claim jobs and run them on Ray; ``work`` is one."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.settings import WorkerSettings

LOOK_AGAIN_S = 5.0
"""How often a runner that starts looks whether the database answers."""


def work(settings: "WorkerSettings") -> None:
    """Runs jobs until SIGTERM or SIGINT; Ray and torch are imported once the database is known to fit.

    Raises:
        SchemaMissing, SchemaNewer: the database's schema is not the one of this version.
    """
    _await_schema(settings.database_url)
    from workers.process import main

    main(settings)


def _await_schema(database_url: str) -> None:
    from migrations import require_head
    from store.session import Database
    from workers.outage import patiently

    database = Database(database_url)
    try:
        patiently(lambda: require_head(database.engine), check=lambda: None, wait_s=LOOK_AGAIN_S, what="the runner")
    finally:
        database.dispose()
