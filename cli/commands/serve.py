"""``safs api``, ``safs worker``, ``safs migrate``: the parts that ``safs up`` runs together, one by one."""

from typing import Annotated, Any

import typer

from cli.options import Home


def api(
    host: Annotated[str | None, typer.Option(envvar="SAFS_HOST", help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(envvar="SAFS_PORT", min=0, max=65_535, help="Port.")] = None,
    home: Home = None,
) -> None:
    """Serves the REST API alone.

    Every setting has an environment variable; flags win.

    \b
    Examples:
      safs api
      SAFS_DATABASE_URL=postgresql://safs@db/safs safs api --host 0.0.0.0
    """
    from api import serve
    from api.settings import ApiSettings
    from cli.supervisor import check_port

    settings = ApiSettings(**_given(host=host, port=port, home=home))
    if settings.port:
        check_port(settings.host, settings.port)
    _tell_what_happens("safs-api")
    serve(settings)


def worker(home: Home = None) -> None:
    """Runs jobs from the queue, one at a time.

    On a local Ray, or on the cluster at SAFS_RAY_ADDRESS. Any number of workers may share a database; SIGTERM makes
    one hand its job back.

    \b
    Examples:
      safs worker
      SAFS_RAY_ADDRESS=auto safs worker
    """
    from workers import work
    from workers.settings import WorkerSettings

    _tell_what_happens("safs-runner")
    work(WorkerSettings(**_given(home=home)))


def migrate(home: Home = None) -> None:
    """Brings the database's schema up to this version.

    Doing it twice does no harm.

    \b
    Examples:
      safs migrate
      SAFS_DATABASE_URL=postgresql://safs@db/safs safs migrate
    """
    from cli.terminal import stdout
    from migrations import current, upgrade
    from store.settings import StoreSettings

    settings = StoreSettings(**_given(home=home))
    upgrade(settings.database_url)
    stdout().print(f"the database is at revision {current(settings.database_url)}")


def _tell_what_happens(service: str) -> None:
    from telemetry import logs, tracing

    logs.configure(logs.LogSettings())
    tracing.configure(service)


def _given(**flags: Any) -> dict[str, Any]:
    """The flags that were given: the others are for the environment and the defaults."""
    return {name: value for name, value in flags.items() if value is not None}
