"""``safs keys``: who may use the service, and what for. Works on the database; the API need not run."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import Home

if TYPE_CHECKING:
    from store.api_keys import Scope
    from store.session import Transaction

keys = typer.Typer(
    help="Makes, lists and revokes API keys.",
    epilog="Once a key was made nobody comes in without one. `safs keys COMMAND --help` has examples.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@keys.command()
def create(
    owner: Annotated[str, typer.Option(help="Whose jobs it submits and sees: a person, a team.", metavar="NAME")],
    scopes: Annotated[
        str,
        typer.Option(help="Of submit, read and admin (all jobs of everybody), separated by commas.", metavar="LIST"),
    ],
    expires: Annotated[
        str | None, typer.Option(help="How long it lives: 90d, 12h. For ever without it.", metavar="TIME")
    ] = None,
    requests_per_minute: Annotated[
        int | None, typer.Option(min=1, help="In place of SAFS_REQUESTS_PER_MINUTE.", metavar="N")
    ] = None,
    queued_jobs: Annotated[int | None, typer.Option(min=0, help="In place of SAFS_QUEUED_JOBS.", metavar="N")] = None,
    gpu_hours: Annotated[
        float | None, typer.Option(min=0, help="In place of SAFS_GPU_HOURS, within 30 days.", metavar="H")
    ] = None,
    home: Home = None,
) -> None:
    """Makes a key and prints its token, this once.

    Only a hash of it is kept. A database that is not there yet is made.

    \b
    Examples:
      safs keys create --owner vision --scopes submit,read --expires 90d
      safs keys create --owner ops --scopes admin
      SAFS_API_KEY=$(safs keys create --owner ci --scopes submit,read --queued-jobs 5)
    """
    from cli.terminal import stderr
    from store import api_keys as store
    from store.api_keys import KeyLimits

    limits = KeyLimits(requests_per_minute, queued_jobs, gpu_hours)
    chosen, lives_s = _scopes(scopes), None if expires is None else _seconds(expires)
    with _database(home, make=True) as tx:
        key, token = store.create(tx, owner, chosen, lives_s=lives_s, limits=limits)
    # The token alone is on standard output, for scripts.
    typer.echo(token)
    until = "" if key.expires_at is None else f" until {key.expires_at:%Y-%m-%d %H:%M} UTC"
    stderr().print(
        f"key {key.prefix} of {key.owner}: {', '.join(sorted(key.scopes))}{until}. The line above is not shown again; "
        "put it into SAFS_API_KEY.",
        markup=False,
        soft_wrap=True,
    )


@keys.command("list")
def list_keys(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False, home: Home = None
) -> None:
    """Lists all keys, the newest first; never their tokens.

    \b
    Examples:
      safs keys list
      safs keys list --json
    """
    from cli.tables import keys_table
    from cli.terminal import stdout
    from store import api_keys as store

    with _database(home) as tx:
        found = store.list(tx)
    if as_json:
        from pydantic import TypeAdapter

        from store.api_keys import ApiKey

        typer.echo(TypeAdapter(tuple[ApiKey, ...]).dump_json(found, indent=2).decode())
    else:
        stdout().print(keys_table(found) if found else "no keys: the service answers its own machine alone")


@keys.command()
def revoke(
    prefix: Annotated[str, typer.Argument(help="As `safs keys list` shows it.", metavar="PREFIX")], home: Home = None
) -> None:
    """Ends a key at once.

    What it submitted stays, and other keys of its owner see it. Streams of events that are open end when their
    client comes back.

    \b
    Examples:
      safs keys revoke 1f0c9a3e
    """
    from cli.terminal import stdout
    from store import api_keys as store

    with _database(home) as tx:
        key = store.revoke(tx, prefix)
    stdout().print(f"key {key.prefix} of {key.owner} is {key.state}", soft_wrap=True)


def _scopes(given: str) -> list["Scope"]:
    from cli.errors import CommandError
    from store.api_keys import Scope

    try:
        return [Scope(one.strip()) for one in given.split(",")]
    except ValueError:
        raise CommandError(f"--scopes {given}: give some of {', '.join(Scope)}, separated by commas") from None


def _seconds(given: str) -> int:
    from cli.errors import CommandError

    found = re.fullmatch(r"([1-9]\d{0,5})([dhm])", given.strip())
    if found is None:
        raise CommandError(f"--expires {given}: give days, hours or minutes, such as 90d, 12h, 30m")
    return int(found[1]) * {"d": 86_400, "h": 3_600, "m": 60}[found[2]]


@contextmanager
def _database(home: Path | None, *, make: bool = False) -> Iterator["Transaction"]:
    """A transaction on the database that the settings name; with ``make`` it need not be there yet."""
    from cli.errors import CommandError
    from migrations import current, require_head, upgrade
    from store.session import Database
    from store.settings import StoreSettings
    from store.sqlite_urls import sqlite_file

    url = (StoreSettings() if home is None else StoreSettings(home=home)).database_url
    file = sqlite_file(url)
    is_there = file is None or file.exists()
    if make and (not is_there or current(url) is None):
        upgrade(url)
    elif not is_there:
        raise CommandError(f"there is no database {file}; --home or SAFS_HOME says where it is")
    database = Database(url)
    try:
        require_head(database.engine)
        with database.begin() as tx:
            yield tx
    finally:
        database.dispose()
