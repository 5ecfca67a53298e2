"""``safs up``: the whole service on one machine."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Home


def up(
    host: Annotated[str, typer.Option(envvar="SAFS_HOST", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="SAFS_PORT", min=1, max=65_535, help="Port to listen on.")] = 8000,
    home: Home = None,
) -> None:
    """Runs the service on this machine until Ctrl-C.

    Starts the API and one runner with a local Ray. The database (SQLite, or the one of SAFS_DATABASE_URL) is migrated
    first. Logs are printed and appended to logs/ in the home folder.

    \b
    Examples:
      safs up
      safs up --port 8080 --home /srv/safs
    """
    from cli.supervisor import Service

    Service.start(host, port, _home(home)).run_until_stopped()


def _home(given: Path | None) -> Path:
    from store.settings import StoreSettings

    return StoreSettings().home if given is None else StoreSettings(home=given).home
