"""``safs catalog``: the names that a job may use."""

from typing import Annotated

import typer

from cli.options import DEFAULT_URL, Url


def catalog(
    kind: Annotated[str | None, typer.Argument(help="Such as methods or operators; all kinds without it.")] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Lists the names that a job may use.

    \b
    Examples:
      safs catalog
      safs catalog methods
    """
    from cli.errors import CommandError
    from cli.tables import catalog_table, facts_table
    from cli.terminal import stdout
    from safs.client import Client

    with Client(url) as client:
        known = client.catalog()
    if kind is None:
        names = {kind: ", ".join(entry["name"] for entry in entries) for kind, entries in known.items()}
        stdout().print(facts_table(names))
    elif kind in known:
        stdout().print(catalog_table(known[kind]))
    else:
        raise CommandError(f"the catalog has no {kind!r}. Known: {', '.join(known)}.")
