"""Runners: processes that claim jobs and run them on Ray. ``work`` runs one."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.settings import WorkerSettings

SCHEMA_RETRY_S = 5.0
"""Seconds between two attempts of a starting runner to reach the database."""


def work(settings: "WorkerSettings") -> None:
    """Run jobs until SIGTERM or SIGINT. Ray and torch are imported once the database's schema has been checked.

    Raises:
        SchemaMissing, SchemaNewer: the database's schema does not belong to this version.
    """
    _wait_for_schema(settings.database_url)
    from workers.process import main

    main(settings)


def _wait_for_schema(database_url: str) -> None:
    from migrations import require_head
    from store.session import Database
    from workers.outage import retry_during_outage

    database = Database(database_url)
    try:
        retry_during_outage(
            lambda: require_head(database.engine), check=lambda: None, wait_s=SCHEMA_RETRY_S, what="the runner"
        )
    finally:
        database.dispose()
