"""``safs keys``: API keys. The commands work on the database, without the API."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import AsJson, Home

if TYPE_CHECKING:
    from store.api_keys import ApiKey, Scope
    from store.session import Transaction

keys = typer.Typer(
    help="Creates, lists and revokes API keys.",
    epilog="Once a key exists, every request needs one. `safs keys COMMAND --help` has examples.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@keys.command()
def create(
    owner: Annotated[
        str, typer.Option(help="Owner of the jobs that the key submits and sees: a person or a team.", metavar="NAME")
    ],
    scopes: Annotated[
        str,
        typer.Option(help="Scopes, separated by commas: submit, read, admin (the jobs of all owners).", metavar="LIST"),
    ],
    expires: Annotated[
        str | None,
        typer.Option(help="Lifetime, such as 90d, 12h or 30m; by default the key does not expire.", metavar="TIME"),
    ] = None,
    requests_per_minute: Annotated[
        int | None, typer.Option(min=1, help="Limit that overrides SAFS_REQUESTS_PER_MINUTE.", metavar="N")
    ] = None,
    queued_jobs: Annotated[
        int | None, typer.Option(min=0, help="Limit that overrides SAFS_QUEUED_JOBS.", metavar="N")
    ] = None,
    gpu_hours: Annotated[
        float | None, typer.Option(min=0, help="Limit within 30 days that overrides SAFS_GPU_HOURS.", metavar="H")
    ] = None,
    as_json: AsJson = False,
    home: Home = None,
) -> None:
    """Creates a key and prints its token, which cannot be shown again.

    The database stores only a hash of the token. It is created if it does not exist.

    \b
    Examples:
      safs keys create --owner vision --scopes submit,read --expires 90d
      safs keys create --owner ops --scopes admin
      SAFS_API_KEY=$(safs keys create --owner ci --scopes submit,read --queued-jobs 5)
    """
    from cli.terminal import print_json, stderr
    from store import api_keys as store
    from store.api_keys import KeyLimits

    limits = KeyLimits(requests_per_minute, queued_jobs, gpu_hours)
    chosen, lives_s = _scopes(scopes), None if expires is None else _seconds(expires)
    with _database(home, create=True) as tx:
        key, token = store.create(tx, owner, chosen, lives_s=lives_s, limits=limits)
    if as_json:
        print_json({"token": token, **_plain(key)})
        return
    # The token alone is on standard output, for scripts.
    typer.echo(token)
    until = "" if key.expires_at is None else f" until {key.expires_at:%Y-%m-%d %H:%M} UTC"
    stderr().print(
        f"key {key.prefix} of {key.owner}: {', '.join(sorted(key.scopes))}{until}. The line above is not shown again; "
        "put it into SAFS_API_KEY.",
        soft_wrap=True,
    )


@keys.command("list")
def list_keys(as_json: AsJson = False, home: Home = None) -> None:
    """Lists all keys, the newest first, without their tokens.

    \b
    Examples:
      safs keys list
      safs keys list --json
    """
    from cli.tables import keys_table
    from cli.terminal import print_json, stdout
    from store import api_keys as store

    with _database(home) as tx:
        found = store.list(tx)
    if as_json:
        print_json([_plain(key) for key in found])
    else:
        console = stdout()
        if found:
            console.print_uncut(keys_table(found))
        else:
            console.print("no keys: the service answers requests from its own machine only")


@keys.command()
def revoke(
    prefix: Annotated[str, typer.Argument(help="Prefix of the key, as `safs keys list` shows it.", metavar="PREFIX")],
    as_json: AsJson = False,
    home: Home = None,
) -> None:
    """Revokes a key.

    Its jobs stay, and the other keys of its owner see them. An open stream of events ends when its client reconnects.

    \b
    Examples:
      safs keys revoke 1f0c9a3e
    """
    from cli.terminal import print_json, stdout
    from store import api_keys as store

    with _database(home) as tx:
        key = store.revoke(tx, prefix)
    if as_json:
        print_json(_plain(key))
    else:
        stdout().print(f"key {key.prefix} of {key.owner} is {key.state}", soft_wrap=True)


def _plain(key: "ApiKey") -> dict[str, Any]:
    """The key as plain JSON; it does not hold the token."""
    from pydantic import TypeAdapter

    from store.api_keys import ApiKey

    plain: dict[str, Any] = TypeAdapter(ApiKey).dump_python(key, mode="json")
    return plain


def _scopes(given: str) -> list["Scope"]:
    from cli.errors import CommandError
    from store.api_keys import Scope

    try:
        return [Scope(one.strip()) for one in given.split(",")]
    except ValueError:
        raise CommandError(f"--scopes is {given!r}: give some of {', '.join(Scope)}, separated by commas") from None


def _seconds(given: str) -> int:
    from cli.errors import CommandError

    found = re.fullmatch(r"([1-9]\d{0,5})([dhm])", given.strip())
    if found is None:
        raise CommandError(f"--expires is {given!r}: give days, hours or minutes, such as 90d, 12h, 30m")
    return int(found[1]) * {"d": 86_400, "h": 3_600, "m": 60}[found[2]]


@contextmanager
def _database(home: Path | None, *, create: bool = False) -> Iterator["Transaction"]:
    """A transaction on the database of the settings; ``create`` creates it if it does not exist."""
    from cli.errors import CommandError
    from migrations import current, require_head, upgrade
    from store.session import Database
    from store.settings import StoreSettings
    from store.sqlite_urls import sqlite_file

    url = (StoreSettings() if home is None else StoreSettings(home=home)).database_url
    file = sqlite_file(url)
    exists = file is None or file.exists()
    if create and (not exists or current(url) is None):
        upgrade(url)
    elif not exists:
        raise CommandError(f"there is no database {file}; --home or SAFS_HOME says where it is")
    database = Database(url)
    try:
        require_head(database.engine)
        with database.begin() as tx:
            yield tx
    finally:
        database.dispose()
