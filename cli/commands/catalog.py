"""``safs catalog``: the names that a job may use."""

from typing import Annotated

import typer

from cli.options import DEFAULT_URL, AsJson, Url


def catalog(
    kind: Annotated[
        str | None, typer.Argument(help="Kind of names, such as methods or operators; by default all kinds.")
    ] = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Lists the names that a job may use.

    With a kind, each name is listed with a summary and its options.

    \b
    Examples:
      safs catalog
      safs catalog methods
      safs catalog models --json
    """
    from cli.errors import CommandError
    from cli.tables import catalog_table, facts_table
    from cli.terminal import print_json, stdout
    from safs.client import Client

    with Client(url) as client:
        known = client.catalog()
    if kind is not None and kind not in known:
        raise CommandError(f"the catalog has no kind {kind!r}. Known: {', '.join(known)}.")
    if as_json:
        print_json(known if kind is None else known[kind])
    elif kind is None:
        names = {kind: ", ".join(entry["name"] for entry in entries) for kind, entries in known.items()}
        stdout().print(facts_table(names))
    else:
        stdout().print(catalog_table(known[kind]))
