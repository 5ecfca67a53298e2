"""``safs collect`` and ``safs scrub``: the upkeep of a service's stored files."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from cli.database import Opened, opened
from cli.options import AsJson, Home

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Table

    from store.upkeep.scrub import Checked


def collect(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be deleted; delete nothing.")] = False,
    as_json: AsJson = False,
    home: Home = None,
) -> None:
    """Deletes expired and unreferenced files and rows now.

    Runners do the same once an hour, between jobs. Deleted are files that have been unreferenced for a day, stage
    outputs older than SAFS_OUTPUTS_DAYS, and, if SAFS_RETENTION_DAYS is set, old ended jobs and unused uploads. The
    service may run.

    \b
    Examples:
      safs collect --dry-run
      SAFS_RETENTION_DAYS=90 safs collect
    """
    from collections import Counter

    from rich.filesize import decimal

    from cli.tables import facts_table
    from cli.terminal import print_json, stderr, stdout
    from migrations import require_head
    from store.upkeep.collection import Kind, preview
    from store.upkeep.collection import collect as steps

    counts, size_bytes = Counter[Kind](), 0
    with opened(home) as at, stderr().status("looking for expired and unreferenced files"):
        require_head(at.database.engine)
        for step in (preview if dry_run else steps)(at.database, at.store, at.settings):
            counts[step.kind] += step.count
            size_bytes += step.size_bytes
    if as_json:
        removed = {kind.value: counts[kind] for kind in Kind}
        print_json({"dry_run": dry_run, "removed": removed, "size_bytes": size_bytes})
        return
    facts = {kind.value: f"{counts[kind]:,}" for kind in Kind if counts[kind]}
    facts["freed" if not dry_run else "would be freed"] = decimal(size_bytes)
    stdout().print(facts_table(facts))
    if dry_run:
        stdout().print("nothing was deleted: this was a dry run")


def scrub(
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Store files again that this machine has intact; drop damaged stage outputs."),
    ] = False,
    as_json: AsJson = False,
    home: Home = None,
) -> None:
    """Verifies the checksum of every stored file.

    Lists the damaged and missing files, the jobs and uploads that they belong to, and how to recover them. The exit
    code is 1 if there are any. The service may run.

    \b
    Examples:
      safs scrub
      safs scrub --repair
    """
    from rich.filesize import decimal

    from cli.terminal import print_json, stdout
    from migrations import require_head
    from safs.json_form import to_json
    from store.upkeep.orphans import find_orphans

    with opened(home) as at:
        require_head(at.database.engine)
        checked, bad = _verify_all(at)
        left = [each for each in bad if not (repair and _repaired(at, each))]
        repaired = len(bad) - len(left)
        orphans = [orphan for some in find_orphans(at.database, at.store) for orphan in some]
    if as_json:
        print_json(
            {
                "checked": checked,
                "repaired": repaired,
                "unreferenced": len(orphans),
                "damaged_or_missing": [
                    {
                        "sha256": each.sha256,
                        "condition": each.condition,
                        "references": to_json(each.references),
                    }
                    for each in left
                ],
            }
        )
        raise typer.Exit(1 if left else 0)
    stdout().print(f"{checked:,} files checked: {checked - len(bad):,} intact, {len(bad):,} damaged or missing")
    if orphans:
        size = decimal(sum(orphan.size_bytes for orphan in orphans))
        stdout().print(f"{len(orphans):,} more files ({size}) are unreferenced; `safs collect` deletes them")
    if repaired:
        stdout().print(
            f"{repaired:,} repaired: stored again from this machine's copy, or dropped for the next job to make again"
        )
    if left:
        stdout().print_uncut(_damage_table(left))
        raise typer.Exit(1)


def _verify_all(at: Opened) -> tuple[int, "list[Checked]"]:
    """The number of stored files, and those that are damaged or missing."""
    from store.upkeep.scrub import Condition, size_of_all
    from store.upkeep.scrub import scrub as verify_each

    with at.database.read() as tx:
        _, total_bytes = size_of_all(tx)
    checked, bad = 0, []
    with byte_progress() as bars:
        task = bars.add_task("verifying checksums", total=total_bytes)
        for each in verify_each(at.database, at.store):
            bars.advance(task, each.size_bytes)
            checked += 1
            if each.condition is not Condition.INTACT:
                bad.append(each)
    return checked, bad


def _repaired(at: Opened, damaged: "Checked") -> bool:
    from store.upkeep.scrub import drop_outputs

    if at.store.repair(damaged.sha256):
        return True
    with at.database.begin() as tx:
        drop_outputs(tx, damaged.sha256)
    return damaged.is_cache


def _damage_table(damaged: "Sequence[Checked]") -> "Table":
    from rich.table import Table

    from store.upkeep.scrub import ReferenceKind

    ways_out = {
        ReferenceKind.RESULT: "restore a backup, or submit the job again",
        ReferenceKind.UPLOAD: "restore a backup, or upload the same file again",
        ReferenceKind.OUTPUT: "`safs scrub --repair`: the next job makes it again",
    }
    table = Table("file", "state", "used as", "by", "recovery", box=None, header_style="bold", pad_edge=False)
    for each in damaged:
        for found in each.references:
            table.add_row(each.sha256, each.condition, f"{found.kind} {found.name!r}", found.id, ways_out[found.kind])
    return table


@contextmanager
def byte_progress() -> "Iterator[Progress]":
    """A progress bar that counts bytes on a terminal; nothing elsewhere."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from cli.terminal import stderr

    console = stderr()
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bars:
        yield bars
