"""``safs backup`` and ``safs restore``: all that a service knows, in one place, and back."""

from pathlib import Path
from typing import Annotated

import typer

from cli.commands.upkeep import byte_progress
from cli.database import opened
from cli.options import Home


def backup(
    target: Annotated[Path, typer.Argument(help="New folder, or a file whose name ends in .tar.", metavar="TARGET")],
    home: Home = None,
) -> None:
    """Saves jobs, trials, events, uploads, results and keys.

    The service may run meanwhile: the backup is of one moment. It fits SQLite and PostgreSQL alike. A file that is
    damaged or missing is named, left out, and makes the exit code 1.

    \b
    Examples:
      safs backup /backups/$(date +%F).tar
      safs backup /backups/today && rsync -a /backups/today elsewhere:
    """
    from rich.filesize import decimal

    from cli.terminal import stderr, stdout
    from migrations import head_revision, require_head
    from store.upkeep.archive import create_archive
    from store.upkeep.backup import back_up

    with opened(home) as at, byte_progress() as bars:
        require_head(at.database.engine)
        task = bars.add_task("saving", total=None)
        with create_archive(target.absolute()) as archive:
            made = back_up(
                at.database,
                at.store,
                archive,
                revision=head_revision(),
                progress=lambda done, total: bars.update(task, completed=done, total=total),
            )
    rows = sum(table.rows for table in made.tables)
    stdout().print(f"{target}: {rows:,} rows, {made.artifacts - len(made.absent):,} files, {decimal(made.size_bytes)}")
    if made.absent:
        stderr().print(
            f"{len(made.absent):,} files are damaged or missing, and not in it: `safs scrub` lists them", style="red"
        )
        raise typer.Exit(1)


def restore(
    source: Annotated[Path, typer.Argument(help="What `safs backup` made.", metavar="SOURCE")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Delete what the database holds now, and restore in its place.")
    ] = False,
    home: Home = None,
) -> None:
    """Brings a backup back, into an empty home or database.

    Stop the service first. Every byte of the backup is checked before anything is written; rows come last, all at
    once. Jobs that ran when it was made are queued again.

    \b
    Examples:
      SAFS_HOME=/srv/new safs restore /backups/2026-11-01.tar
      SAFS_DATABASE_URL=postgresql://safs@db/safs safs restore /backups/today
      safs restore /backups/today --replace
    """
    from cli.restoration import restore_into
    from cli.terminal import stderr, stdout
    from store.upkeep.archive import open_archive

    with open_archive(source) as archive, opened(home) as at, byte_progress() as bars:
        task = bars.add_task("restoring", total=None)

        def tell(what: str, done: int, total: int) -> None:
            bars.update(task, description=what, completed=done, total=total)

        restored = restore_into(at, archive, replace=replace, tell=tell)
    manifest = restored.manifest
    rows = sum(table.rows for table in manifest.tables)
    stdout().print(f"restored the service of {manifest.made_at}: {rows:,} rows, {manifest.artifacts:,} files")
    if restored.handed_back:
        stdout().print(f"{restored.handed_back:,} jobs that ran then are queued again (cancelled, if they were to be)")
    if manifest.absent:
        stderr().print(f"{len(manifest.absent):,} files were damaged or missing already: `safs scrub` lists them")
