"""Tables that commands print."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from cli.lineage import lineage, reuse
from safs.client import RemoteJob
from safs.events.durations import span
from safs.events.faults import survived
from safs.report import ComparisonRow

if TYPE_CHECKING:
    from safs.checkpoint import Verification
    from store.api_keys import ApiKey

STATE_STYLES = {"succeeded": "green", "failed": "red", "cancelled": "yellow", "running": "cyan", "cancelling": "yellow"}


def comparison_table(rows: Sequence[ComparisonRow]) -> Table:
    """What each part of the method gained; the row that is handed back is marked."""
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


def jobs_table(jobs: Iterable[RemoteJob]) -> Table:
    """Jobs, one a line."""
    table = _table("job", "name", "state", "stage", "done", "network", "data", "sparsity", "method", "test", "created")
    for job in jobs:
        spec, result = job.view["spec"], job.view.get("result") or {}
        table.add_row(
            job.id,
            job.view["name"] or "",
            f"[{STATE_STYLES.get(job.state, 'default')}]{job.state}",
            job.stage or "",
            f"{job.progress['fraction']:.0%}" if job.progress else "",
            spec["model"]["architecture"],
            spec["data"]["dataset"],
            f"{spec['sparsity']:g}",
            spec["prune"]["method"],
            percent(result.get("test_accuracy")),
            _age(job.view["created_at"]),
        )
    return table


def jobs_tree(jobs: Sequence[RemoteJob]) -> Table:
    """Jobs, one a line, each beneath the one whose stages it reuses."""
    table = _table("job", "name", "state", "network", "data", "sparsity", "test", "reuses")
    for depth, job in lineage(jobs):
        spec, result = job.view["spec"], job.view.get("result") or {}
        table.add_row(
            f"{'   ' * (depth - 1)}└─ {job.id}" if depth else job.id,
            job.view["name"] or "",
            f"[{STATE_STYLES.get(job.state, 'default')}]{job.state}",
            spec["model"]["architecture"],
            spec["data"]["dataset"],
            f"{spec['sparsity']:g}",
            percent(result.get("test_accuracy")),
            reuse(job),
        )
    return table


def job_table(job: RemoteJob) -> Table:
    """One job: what it is to do, how far it is, why it failed."""
    spec, progress, error = job.view["spec"], job.progress, job.view.get("error")
    facts = {
        "job": job.id,
        "name": job.view["name"],
        "state": job.state,
        "network": spec["model"]["architecture"],
        "data": spec["data"]["dataset"],
        "sparsity": f"{spec['sparsity']:g}",
        "pruning": pruning(spec["prune"]),
        "preset": spec["preset"],
        "seed": str(spec["seed"]),
        "created": _age(job.view["created_at"]),
        "reuses": reuse(job),
        "stage": f"{job.stage} ({progress['stage_number']} of {progress['stages']})" if progress else job.stage,
        "done": f"{progress['fraction']:.0%}" if progress else None,
        "error": error and error["message"],
        "faults": survived(job.view.get("faults")),
    }
    return facts_table(facts)


def check_table(found: Mapping[str, Any]) -> Table:
    """What a job would work on, as the service's checks found."""
    spec = found["spec"]
    facts = {
        "network": spec["model"]["architecture"],
        "input": f"{found['channels']} x {found['image_size']} x {found['image_size']}, {found['classes']} classes",
        "images": f"{found['train']:,} train, {found['validation']:,} validation, {found['test']:,} test",
        "notes": " ".join(found.get("notes", [])) or None,
        "weights": f"{found['live']:,} of {found['weights']:,} are kept at sparsity {spec['sparsity']:g}",
        "pruning": pruning(spec["prune"]),
        "activations": f"{len(found['sites'])} calls, {len(found['operators'])} candidates at each",
        "will take": found["estimate"]["summary"],
        "GPU-hours": _gpu_hours(found["estimate"]["gpu_hours"]),
        "queued": "nothing: this was a dry run",
    }
    return facts_table(facts)


def stages_table(estimate: Mapping[str, Any]) -> Table:
    """What each stage of a job is expected to train, and how long that takes."""
    table = _table("stage", "trainings", "epochs", "time", numbers_from=1)
    for stage in estimate["stages"]:
        times = stage["seconds"], stage["low_s"], stage["high_s"]
        time = "" if None in times else span(*times)
        table.add_row(stage["stage"], f"{stage['trials']:,}", f"{stage['epochs']:,}", time)
    return table


def verification_table(verification: "Verification") -> Table:
    """What a result folder was found to hold."""
    sparsity = verification.sparsity
    facts = {
        "network": verification.architecture,
        "sparsity": f"{sparsity.sparsity:.6%} (asked for: {verification.target:g})",
        "live weights": f"{sparsity.live:,} of {sparsity.weights:,}",
        "stored weights": f"{sparsity.stored:,}, zeros included",
        "sha256": verification.sha256,
        "verdict": "the bytes are what config.json says, and the sparsity is exact",
    }
    return facts_table(facts)


def keys_table(keys: Iterable["ApiKey"]) -> Table:
    """API keys, one a line."""
    table = _table("key", "owner", "scopes", "state", "expires", "last used", "limits")
    styles = {"active": "green", "expired": "yellow", "revoked": "red"}
    for key in keys:
        limits = {name: getattr(key.limits, name) for name in key.limits.__slots__}
        table.add_row(
            key.prefix,
            key.owner,
            ", ".join(sorted(key.scopes)),
            f"[{styles[key.state]}]{key.state}",
            "never" if key.expires_at is None else f"{key.expires_at:%Y-%m-%d %H:%M}",
            "never" if key.last_used_at is None else _age(key.last_used_at.isoformat()),
            ", ".join(f"{name} {value:g}" for name, value in limits.items() if value is not None),
        )
    return table


def catalog_table(entries: Iterable[Mapping[str, Any]]) -> Table:
    """Names of one kind with what they are; under a name, what can be told to it."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for entry in entries:
        table.add_row(Text(entry["name"], style="bold"), Text(entry["summary"]))
        for option, meaning in entry["details"].get("options", {}).items():
            table.add_row(Text(f"  {option}", style="cyan"), Text(meaning, style="dim"))
    return table


def pruning(prune: Mapping[str, Any]) -> str:
    """How a job prunes: the method, its four axes, and what it was told besides.

    >>> pruning({"method": "rigl", "score": "magnitude", "distribution": "erk", "schedule": "dynamic",
    ...          "granularity": "weight", "epochs": 40, "options": {"drop": 0.5}})
    'rigl (magnitude, erk, dynamic, weight), epochs 40, drop 0.5'
    """
    axes = [prune[axis] for axis in ("score", "distribution", "schedule", "granularity") if axis in prune]
    told = ({"epochs": prune["epochs"]} if prune.get("epochs") else {}) | prune.get("options", {})
    return ", ".join([f"{prune['method']} ({', '.join(axes)})", *(f"{name} {value}" for name, value in told.items())])


def facts_table(facts: Mapping[str, str | None]) -> Table:
    """Names and values, without those that have none."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    for name, value in facts.items():
        if value:
            table.add_row(name, Text(value))
    return table


def percent(fraction: float | None) -> str:
    """A fraction as a percentage; nothing for None.

    >>> percent(0.8611), percent(None)
    ('86.1%', '')
    """
    return "" if fraction is None else f"{fraction:.1%}"


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
