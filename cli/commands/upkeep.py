"""``safs collect`` and ``safs scrub``: what keeps a service's files in order."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from cli.database import Opened, opened
from cli.options import Home

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Table

    from store.upkeep.scrub import Checked


def collect(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and delete nothing.")] = False,
    home: Home = None,
) -> None:
    """Deletes what nothing needs any more, now.

    A runner does the same between its jobs, once an hour: files that nothing has named for a day, stage outputs older
    than SAFS_OUTPUTS_DAYS, and, if SAFS_RETENTION_DAYS is set, ended jobs and unused uploads. The service may run
    meanwhile.

    \b
    Examples:
      safs collect --dry-run
      SAFS_RETENTION_DAYS=90 safs collect
    """
    from collections import Counter

    from rich.filesize import decimal

    from cli.tables import facts_table
    from cli.terminal import stderr, stdout
    from migrations import require_head
    from store.upkeep.collection import Kind, preview
    from store.upkeep.collection import collect as steps

    counts, size_bytes = Counter[Kind](), 0
    with opened(home) as at, stderr().status("looking for what nothing needs"):
        require_head(at.database.engine)
        for step in (preview if dry_run else steps)(at.database, at.store, at.settings):
            counts[step.kind] += step.count
            size_bytes += step.size_bytes
    facts = {kind.value: f"{counts[kind]:,}" for kind in Kind if counts[kind]}
    facts["freed" if not dry_run else "would be freed"] = decimal(size_bytes)
    stdout().print(facts_table(facts))
    if dry_run:
        stdout().print("nothing was deleted: this was a dry run")


def scrub(
    repair: Annotated[
        bool, typer.Option("--repair", help="Store again what this machine has intact; forget stage outputs.")
    ] = False,
    home: Home = None,
) -> None:
    """Looks at every byte of every stored file.

    Each file is named by its hash, so a flipped bit is found. What is hit is listed with the way out; the exit code
    is 1 if anything is damaged or missing. The service may run meanwhile.

    \b
    Examples:
      safs scrub
      safs scrub --repair
    """
    from rich.filesize import decimal

    from cli.terminal import stdout
    from migrations import require_head
    from store.upkeep.orphans import find_orphans

    with opened(home) as at:
        require_head(at.database.engine)
        checked, bad = _look_at_all(at)
        left = [each for each in bad if not (repair and _repaired(at, each))]
        repaired = len(bad) - len(left)
        orphans = [orphan for some in find_orphans(at.database, at.store) for orphan in some]
    stdout().print(f"{checked:,} files looked at: {checked - len(bad):,} intact, {len(bad):,} damaged or missing")
    if orphans:
        size = decimal(sum(orphan.size_bytes for orphan in orphans))
        stdout().print(f"{len(orphans):,} more files ({size}) belong to nothing: `safs collect` deletes them")
    if repaired:
        stdout().print(f"{repaired:,} repaired: stored again from this machine's copy, or made anew by the next job")
    if left:
        stdout().print(_harm_table(left))
        raise typer.Exit(1)


def _look_at_all(at: Opened) -> tuple[int, "list[Checked]"]:
    """(how many files there are, those that are not intact)."""
    from store.upkeep.scrub import Condition, size_of_all
    from store.upkeep.scrub import scrub as look

    with at.database.read() as tx:
        _, total_bytes = size_of_all(tx)
    checked, bad = 0, []
    with byte_progress() as bars:
        task = bars.add_task("looking at every byte", total=total_bytes)
        for each in look(at.database, at.store):
            bars.advance(task, each.size_bytes)
            checked += 1
            if each.condition is not Condition.INTACT:
                bad.append(each)
    return checked, bad


def _repaired(at: Opened, harmed: "Checked") -> bool:
    from store.upkeep.scrub import drop_outputs

    if at.store.repair(harmed.sha256):
        return True
    with at.database.begin() as tx:
        drop_outputs(tx, harmed.sha256)
    return harmed.is_cache


def _harm_table(harmed: "Sequence[Checked]") -> "Table":
    from rich.table import Table

    from store.upkeep.scrub import ReferenceKind

    ways_out = {
        ReferenceKind.RESULT: "restore a backup, or submit the job again",
        ReferenceKind.UPLOAD: "restore a backup, or upload it again: what is put again heals",
        ReferenceKind.OUTPUT: "`safs scrub --repair`: it is made anew",
    }
    table = Table("content", "is", "used as", "by", "way out", box=None, header_style="bold", pad_edge=False)
    for each in harmed:
        content = f"{each.sha256[:12]}…"
        for found in each.references:
            table.add_row(content, each.condition, f"{found.kind} {found.name!r}", found.id, ways_out[found.kind])
    return table


@contextmanager
def byte_progress() -> "Iterator[Progress]":
    """Bars that count bytes, on a terminal; nothing elsewhere."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from cli.terminal import stderr

    console = stderr()
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bars:
        yield bars
