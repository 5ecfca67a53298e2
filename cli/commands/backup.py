"""``safs backup`` and ``safs restore``: the whole state of a service in one folder or file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.commands.upkeep import byte_progress
from cli.database import opened
from cli.options import AsJson, Home, expanded

if TYPE_CHECKING:
    from store.upkeep.backup import Manifest


def backup(
    target: Annotated[
        Path,
        typer.Argument(help="Folder to create, or file with the suffix .tar.", metavar="TARGET", callback=expanded),
    ],
    as_json: AsJson = False,
    home: Home = None,
) -> None:
    """Saves jobs, trials, events, uploads, results and keys.

    The backup is a snapshot of one moment; the service may run. It can be restored into SQLite or PostgreSQL. Damaged
    and missing files are left out and counted, and the exit code is then 1.

    \b
    Examples:
      safs backup /backups/$(date +%F).tar
      safs backup /backups/today && rsync -a /backups/today elsewhere:
    """
    from rich.filesize import decimal

    from cli.terminal import print_json, stderr, stdout
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
    if as_json:
        print_json({"target": str(target), "size_bytes": made.size_bytes} | _contents(made))
        raise typer.Exit(1 if made.absent else 0)
    stdout().print(f"{target}: {rows:,} rows, {made.artifacts - len(made.absent):,} files, {decimal(made.size_bytes)}")
    if made.absent:
        stderr().print(
            f"{len(made.absent):,} files are damaged or missing and not in the backup; `safs scrub` lists them",
            style="red",
        )
        raise typer.Exit(1)


def restore(
    source: Annotated[
        Path, typer.Argument(help="Folder or file that `safs backup` made.", metavar="SOURCE", callback=expanded)
    ],
    replace: Annotated[
        bool, typer.Option("--replace", help="Delete the contents of the database first; by default it must be empty.")
    ] = False,
    as_json: AsJson = False,
    home: Home = None,
) -> None:
    """Restores a backup into an empty home or database.

    Stop the service first. All checksums of the backup are verified before anything is written, and all rows are
    written in one transaction. Jobs that ran when the backup was made are queued again.

    \b
    Examples:
      SAFS_HOME=/srv/new safs restore /backups/2026-11-01.tar
      SAFS_DATABASE_URL=postgresql://safs@db/safs safs restore /backups/today
      safs restore /backups/today --replace
    """
    from cli.restoration import restore_into
    from cli.terminal import print_json, stderr, stdout
    from store.upkeep.archive import open_archive

    with open_archive(source) as archive, opened(home) as at, byte_progress() as bars:
        task = bars.add_task("restoring", total=None)

        def progress(step: str, done: int, total: int) -> None:
            bars.update(task, description=step, completed=done, total=total)

        restored = restore_into(at, archive, replace=replace, progress=progress)
    manifest = restored.manifest
    rows = sum(table.rows for table in manifest.tables)
    if as_json:
        print_json({"requeued": restored.requeued} | _contents(manifest))
        return
    stdout().print(f"restored the service of {manifest.made_at}: {rows:,} rows, {manifest.artifacts:,} files")
    if restored.requeued:
        stdout().print(
            f"{restored.requeued:,} jobs that ran then are queued again (or cancelled, if that was requested)"
        )
    if manifest.absent:
        stderr().print(f"{len(manifest.absent):,} files were damaged or missing in the backup; `safs scrub` lists them")


def _contents(manifest: "Manifest") -> dict[str, Any]:
    """The contents of a backup, as plain JSON."""
    return {
        "made_at": str(manifest.made_at),
        "rows": {table.name: table.rows for table in manifest.tables},
        "files": manifest.artifacts - len(manifest.absent),
        "absent": list(manifest.absent),
    }
