"""The HTTP API; ``serve`` runs it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from api.settings import ApiSettings


def serve(settings: "ApiSettings") -> None:
    """Serves until SIGTERM or SIGINT; the app, and torch with it, is imported only now.

    Raises:
        PermissionError: ``settings.host`` is reachable from other machines, and no key is asked.
    """
    from api.server import make_server

    settings.refuse_open_network()
    make_server(settings).run()
