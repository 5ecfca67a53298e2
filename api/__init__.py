"""The HTTP API; ``serve`` runs it."""

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from api.settings import ApiSettings

_log = logging.getLogger(__name__)


def serve(settings: "ApiSettings") -> None:
    """Serve until SIGTERM or SIGINT. The app, and torch with it, is imported after the first checks have passed.

    Raises:
        PermissionError: ``settings.host`` is reachable from other machines and no usable API key exists.
        SchemaMissing, SchemaNewer: the database's schema is not the one of this version.
    """
    _check_schema(settings.database_url)
    settings.refuse_open_network()
    from api.server import make_server

    make_server(settings).run()


def _check_schema(database_url: str) -> None:
    from migrations import require_head
    from store.errors import DatabaseUnavailable
    from store.session import Database

    database = Database(database_url)
    try:
        require_head(database.engine)
    except DatabaseUnavailable as error:
        _log.warning("%s. The API starts anyway and answers requests with 503 until the database is reachable", error)
    finally:
        database.dispose()
