"""Tables that commands print."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from cli.lineage import lineage, reuse
from cli.terminal import styled, visible
from safs.client import RemoteJob
from safs.client.display import goal, network_name
from safs.events.durations import span
from safs.events.faults import survived
from safs.report import ComparisonRow, FrontRow
from safs.report.deployed import size_text

if TYPE_CHECKING:
    from safs.checkpoint import Verification
    from safs.deploy.export import Export
    from store.api_keys import ApiKey

STATE_STYLES = {"succeeded": "green", "failed": "red", "cancelled": "yellow", "running": "cyan", "cancelling": "yellow"}
KEY_STYLES = {"active": "green", "expired": "yellow", "revoked": "red"}
_LEAST_NEEDED = ("created", "sparsity", "method", "data", "owner", "network", "stage", "done", "test", "name")
"""Columns of a list of jobs that a narrow terminal does without, the least needed first. Ids and states stay."""


def comparison_table(rows: Sequence[ComparisonRow]) -> Table:
    """The networks of a result and their accuracies; the row of the returned network is marked."""
    table = _table("", "validation", "test", "sparsity", "live weights", numbers_from=1)
    for row in rows:
        table.add_row(
            f"{'→' if row.is_result else ' '} {row.label}",
            percent(row.validation_accuracy),
            percent(row.test_accuracy),
            f"{row.sparsity:.4%}",
            f"{row.live_weights:,} of {row.weights:,}",
            style="bold green" if row.is_result else None,
        )
    return table


def front_table(rows: Sequence[FrontRow]) -> Table:
    """The points of a front; the recommended one is marked."""
    times = any(row.milliseconds is not None for row in rows)
    table = _table("sparsity", "result", "validation", "test", "live weights", "size", *["ms"] * times, numbers_from=2)
    for row in rows:
        table.add_row(
            f"{'→' if row.is_recommended else ' '} {row.sparsity:.4%}",
            row.label + (", searched here" if row.is_searched else ""),
            percent(row.validation_accuracy),
            percent(row.test_accuracy),
            f"{row.live_weights:,}",
            size_text(row.size_bytes),
            *[f"{row.milliseconds:.3g}" if row.milliseconds is not None else ""] * times,
            style="bold green" if row.is_recommended else None,
        )
    return table


def jobs_table(jobs: Iterable[RemoteJob], width: int) -> Table:
    """Jobs, one per line, with the columns that fit into ``width``."""
    columns: dict[str, list[Text]] = {
        name: []
        for name in (
            *("job", "name", "state", "stage", "done", "network", "data", "sparsity", "method", "test"),
            *("owner", "created"),
        )
    }
    for job in jobs:
        cells = _cells(job) | {
            "stage": _waits(job, behind=False) or job.stage or "",
            "done": f"{job.progress['fraction']:.0%}" if job.progress else "",
            "method": job.view["spec"]["prune"]["method"],
            "owner": job.view.get("owner") or "",
            "created": _age(job.view["created_at"]),
        }
        for name, column in columns.items():
            column.append(_line(cells[name]))
    if not any(columns["owner"]):
        del columns["owner"]
    return _fitting(columns, width)


def jobs_tree(jobs: Sequence[RemoteJob]) -> Table:
    """Jobs, one per line, each beneath the one whose stages it reuses."""
    table = _table("job", "name", "state", "network", "data", "sparsity", "test", "reuses")
    for depth, job in lineage(jobs):
        cells = _cells(job)
        cells["job"] = f"{'   ' * (depth - 1)}└─ {job.id}" if depth else job.id
        table.add_row(*map(_line, cells.values()), _line(reuse(job)))
    return table


def job_table(job: RemoteJob) -> Table:
    """One job: what it does, its progress, and why it failed."""
    spec, progress, error = job.view["spec"], job.progress, job.view.get("error")
    facts = {
        "job": job.id,
        "name": job.view["name"],
        "state": job.state,
        "network": network_name(spec),
        "data": spec["data"]["dataset"],
        "sparsity": goal(spec),
        "pruning": pruning(spec["prune"]),
        "preset": spec["preset"],
        "seed": str(spec["seed"]),
        "owner": job.view.get("owner"),
        "created": _age(job.view["created_at"]),
        "reuses": reuse(job),
        "waiting": _waits(job, behind=True),
        "stage": f"{job.stage} ({progress['stage_number']} of {progress['stages']})" if progress else job.stage,
        "done": f"{progress['fraction']:.0%}" if progress else None,
        "error": error and error["message"],
        "faults": survived(job.view.get("faults")),
    }
    return facts_table(facts)


def check_table(found: Mapping[str, Any]) -> Table:
    """Summary of a checked job: network, data, weights and cost."""
    spec = found["spec"]
    facts = {
        "network": network_name(spec),
        "input": f"{found['channels']} x {found['image_size']} x {found['image_size']}, {found['classes']} classes",
        "images": f"{found['train']:,} train, {found['validation']:,} validation, {found['test']:,} test",
        "data": _data(found.get("data")),
        "warnings": " ".join(found["data"]["warnings"]) or None if found.get("data") else None,
        "notes": " ".join(found.get("notes", [])) or None,
        "weights": _kept(found),
        "front": goal(spec) if spec.get("front") else None,
        "pruning": pruning(spec["prune"]),
        "activations": f"{len(found['sites'])} calls, {len(found['operators'])} candidates at each",
        "will take": found["estimate"]["summary"],
        "GPU-hours": _gpu_hours(found["estimate"]["gpu_hours"]),
        "queued": "nothing: this was a dry run",
    }
    return facts_table(facts)


def _kept(found: Mapping[str, Any]) -> str:
    kept = f"{found['live']:,} of {found['weights']:,} are kept at sparsity {found['sparsity']:g}"
    return f"about {kept}, for the target {goal(found['spec'])}" if found["spec"].get("target") else kept


def _data(preview: Mapping[str, Any] | None) -> str | None:
    """One sentence about a user's own data."""
    if preview is None:
        return None
    counts = [one["train"] for one in preview["classes"]]
    tested = "" if preview["test_images"] is None else f", {preview['test_images']:,} for test"
    return (
        f"{preview['images']:,} images of {preview['width']} x {preview['height']} with {preview['channels']} channels"
        f"{tested}; {preview['values']} from {preview['low']:g} to {preview['high']:g}, mean {preview['mean']:.4g}; "
        f"{len(counts)} classes of {min(counts):,} to {max(counts):,} images"
    )


def stages_table(estimate: Mapping[str, Any]) -> Table:
    """The expected trainings, epochs and time of each stage of a job."""
    table = _table("stage", "trainings", "epochs", "time", numbers_from=1)
    for stage in estimate["stages"]:
        times = stage["seconds"], stage["low_s"], stage["high_s"]
        time = "" if None in times else span(*times)
        table.add_row(stage["stage"], f"{stage['trials']:,}", f"{stage['epochs']:,}", time)
    return table


def verification_table(verification: "Verification") -> Table:
    """Table of the findings of ``safs verify``."""
    sparsity = verification.sparsity
    facts = {
        "network": verification.architecture,
        "sparsity": f"{sparsity.sparsity:.6%} (asked for: {verification.target:g})",
        "live weights": f"{sparsity.live:,} of {sparsity.weights:,}",
        "stored weights": f"{sparsity.stored:,}, zeros included",
        "sha256": verification.sha256,
        "verdict": "the checkpoint matches its checksum in config.json, and the sparsity is exact",
    }
    return facts_table(facts)


def export_table(export: "Export") -> Table:
    """Table of an export: its files, its size beside the checkpoint's, and what the comparison found."""
    equality = export.equality
    facts = {
        "files": ", ".join(map(str, export.files)),
        "size": f"{export.size_bytes:,} bytes; the checkpoint has {export.checkpoint_bytes:,}",
        "outputs": f"differ by at most {equality.largest_difference:.2g} on {equality.images} images "
        f"({equality.source})",
        "predictions": f"{equality.equal_predictions} of {equality.images} are equal",
    }
    return facts_table(facts)


def keys_table(keys: Iterable["ApiKey"]) -> Table:
    """API keys, one per line."""
    table = _table("key", "owner", "scopes", "state", "expires", "last used", "limits")
    for key in keys:
        limits = {name: getattr(key.limits, name) for name in key.limits.__slots__}
        table.add_row(
            key.prefix,
            key.owner,
            ", ".join(sorted(key.scopes)),
            styled(key.state, KEY_STYLES[key.state]),
            "never" if key.expires_at is None else f"{key.expires_at:%Y-%m-%d %H:%M}",
            "never" if key.last_used_at is None else _age(key.last_used_at.isoformat()),
            ", ".join(f"{name} {value:g}" for name, value in limits.items() if value is not None),
        )
    return table


def catalog_table(entries: Iterable[Mapping[str, Any]]) -> Table:
    """Names of one kind with their summaries, and the options of each name."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for entry in entries:
        table.add_row(styled(entry["name"], "bold"), entry["summary"])
        for option, meaning in entry["details"].get("options", {}).items():
            table.add_row(styled(f"  {option}", "cyan"), styled(meaning, "dim"))
    return table


def pruning(prune: Mapping[str, Any]) -> str:
    """One line on pruning: the method, its four axes, and the given options.

    >>> pruning({"method": "rigl", "score": "magnitude", "distribution": "erk", "schedule": "dynamic",
    ...          "granularity": "weight", "epochs": 40, "options": {"drop": 0.5}})
    'rigl (magnitude, erk, dynamic, weight), epochs 40, drop 0.5'
    >>> pruning({"method": "magnitude", "schedule": "cubic", "epochs": 4, "search": {"starts": 5, "epochs": 7}})
    'the best of 5 starts, first magnitude (cubic), epochs 4'
    """
    axes = [prune[axis] for axis in ("score", "distribution", "schedule", "granularity") if axis in prune]
    given = ({"epochs": prune["epochs"]} if prune.get("epochs") else {}) | prune.get("options", {})
    searched = f"the best of {prune['search']['starts']} starts, first " if prune.get("search") else ""
    return ", ".join(
        [f"{searched}{prune['method']} ({', '.join(axes)})", *(f"{name} {value}" for name, value in given.items())]
    )


def facts_table(facts: Mapping[str, str | None]) -> Table:
    """Names and values; names without a value are left out."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        if value:
            table.add_row(name, value)
    return table


def percent(fraction: float | None) -> str:
    """A fraction as a percentage; the empty string for None.

    >>> percent(0.8611), percent(None)
    ('86.1%', '')
    """
    return "" if fraction is None else f"{fraction:.1%}"


def _cells(job: RemoteJob) -> dict[str, str | Text]:
    """Columns that both lists of jobs have."""
    spec, result = job.view["spec"], job.view.get("result") or {}
    return {
        "job": job.id,
        "name": job.view["name"] or "",
        "state": styled(job.state, STATE_STYLES.get(job.state, "")),
        "network": network_name(spec),
        "data": spec["data"]["dataset"],
        "sparsity": goal(spec),
        "test": percent(result.get("test_accuracy")),
    }


def _waits(job: RemoteJob, *, behind: bool) -> str | None:
    """The wait of a running job for cores, and with ``behind`` the jobs before it; None if it does not wait."""
    waiting = job.view.get("waiting")
    if not waiting:
        return None
    cores, before = waiting["cores"], waiting["jobs_before"]
    wait = f"waits for {cores} core{'s' * (cores != 1)}"
    return f"{wait}, {before} job{'s' * (before != 1)} before it" if behind else wait


def _line(cell: str | Text) -> Text:
    """A cell on one line: line breaks are escaped like other control characters."""
    return cell if isinstance(cell, Text) else Text(visible(cell).replace("\n", "\\n").replace("\t", "\\t"))


def _fitting(columns: dict[str, list[Text]], width: int) -> Table:
    """A table of the columns that fit into ``width``. No cell is shortened."""
    widths = {name: max([len(name), *(cell_len(cell.plain) for cell in cells)]) for name, cells in columns.items()}
    shown = [name for name in widths if name not in _LEAST_NEEDED]
    for name in reversed(_LEAST_NEEDED):  # A name that is too long takes no room from the columns that fit.
        if name in widths and sum(widths[one] + 2 for one in (*shown, name)) - 2 <= width:
            shown.append(name)
    names = [name for name in columns if name in shown]
    table = _table(*names)
    for row in zip(*(columns[name] for name in names), strict=True):
        table.add_row(*row)
    return table


def _gpu_hours(hours: float | None) -> str | None:
    return None if hours is None else f"{hours:.2g}"


def _table(*columns: str, numbers_from: int | None = None) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for position, column in enumerate(columns):
        is_number = numbers_from is not None and position >= numbers_from
        table.add_column(column, justify="right" if is_number else "left", no_wrap=True)
    return table


def _age(at: Any) -> str:
    seconds = (datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds()
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit} ago"
    return "just now"
