"""``safs api``, ``safs worker`` and ``safs migrate``: the parts of ``safs up``, one at a time."""

from typing import Annotated, Any

import typer

from cli.options import AsJson, Home


def api(
    host: Annotated[
        str | None, typer.Option(envvar="SAFS_HOST", help="Address to listen on; 127.0.0.1 by default.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(envvar="SAFS_PORT", min=0, max=65_535, help="Port to listen on; 8000 by default, 0 for any."),
    ] = None,
    home: Home = None,
) -> None:
    """Serves the REST API, without a runner.

    Every setting has an environment variable; options override them.

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
    _configure_telemetry("safs-api")
    serve(settings)


def worker(home: Home = None) -> None:
    """Runs jobs from the queue, one at a time.

    Trials run on a local Ray, or on the cluster at SAFS_RAY_ADDRESS. Several workers may share a database. On SIGTERM,
    a worker puts its job back into the queue.

    \b
    Examples:
      safs worker
      SAFS_RAY_ADDRESS=auto safs worker
    """
    from workers import work
    from workers.settings import WorkerSettings

    _configure_telemetry("safs-runner")
    work(WorkerSettings(**_given(home=home)))


def migrate(as_json: AsJson = False, home: Home = None) -> None:
    """Upgrades the database's schema to this version.

    A database that is up to date is left unchanged.

    \b
    Examples:
      safs migrate
      SAFS_DATABASE_URL=postgresql://safs@db/safs safs migrate
    """
    from cli.terminal import print_json, stdout
    from migrations import current, upgrade
    from store.settings import StoreSettings

    settings = StoreSettings(**_given(home=home))
    before = current(settings.database_url)
    upgrade(settings.database_url)
    revision = current(settings.database_url)
    if as_json:
        print_json({"before": before, "revision": revision})
    else:
        stdout().print(f"the database is at revision {revision}")


def _configure_telemetry(service: str) -> None:
    from telemetry import logs, tracing

    logs.configure(logs.LogSettings())
    tracing.configure(service)


def _given(**flags: Any) -> dict[str, Any]:
    """The options that were given. The others come from the environment or have defaults."""
    return {name: value for name, value in flags.items() if value is not None}
