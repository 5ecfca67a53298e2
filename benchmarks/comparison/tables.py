"""Markdown tables of the comparison of pruning methods, from the results file."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean, median, stdev
from textwrap import fill

from benchmarks.comparison.cells import DENSE, Record, rows

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
CANDIDATES = {
    "default": "default protocol",
    "pruned": "right after pruning, before any fine-tuning",
    "safs": "after a SAFS search",
}


def groups(records: Iterable[Record]) -> list[list[Record]]:
    """Records grouped by settings, the largest group first. Only records of one group are comparable."""
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(json.dumps(record["settings"], sort_keys=True), []).append(record)
    return sorted(found.values(), key=len, reverse=True)


def write_tables(records: Sequence[Record], path: Path) -> None:
    """Write the tables between ``BEGIN`` and ``END`` if the file at ``path`` has these marks, else replace the file."""
    text = "\n\n".join(tables(group) for group in groups(records))
    old = path.read_text() if path.exists() else ""
    if BEGIN in old and END in old:
        before, after = old.split(BEGIN)[0], old.split(END)[1]
        text = f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"
    path.write_text(text if text.endswith("\n") else text + "\n")


def tables(records: Sequence[Record]) -> str:
    """Markdown: test accuracy by method and sparsity after each protocol, cost of each method, and refused cells."""
    parts = [_headline(records)]
    for candidate, title in CANDIDATES.items():
        if any(candidate in record.get("test", {}) and record["row"] != DENSE for record in records):
            parts.append(f"Test accuracy in %, {title}:\n\n" + _table(records, candidate))
    parts.append(_errors(records))
    return "\n\n".join(part for part in parts if part)


def _headline(records: Sequence[Record]) -> str:
    one = records[0]["settings"]
    images = f"{one['images']:,} images" if one["images"] else "all 60,000 images"
    seeds = {record["seed"] for record in records}
    unpruned = _spread([record for record in records if record["row"] == DENSE], "default", len(seeds))
    dense = f" The dense network, with as many epochs in all: {unpruned}." if unpruned else ""
    text = (
        f"{one['architecture']}, Fashion-MNIST ({images}), batches of {one['batch_size']}; epochs: "
        f"{one['dense_epochs']} dense, {one['prune_epochs']} pruning, {one['final_epochs']} fine-tuning; "
        f"{len(seeds)} seed{'s' * (len(seeds) > 1)}; on {one['device']}, torch {one['torch']}. Mean and standard "
        "deviation over the seeds; a number in brackets says how many there are where they are fewer." + dense
    )
    return fill(text, 120)


def _table(records: Sequence[Record], candidate: str) -> str:
    sparsities = sorted({record["sparsity"] for record in records if record["row"] != DENSE})
    most = len({record["seed"] for record in records})
    live = [_live(records, sparsity) for sparsity in sparsities]
    table = [["method", *(f"{100 * one:g}%" for one in sparsities)], ["---"] * (len(sparsities) + 1)]
    table.append(["*live weights*", *(f"*{one:,}*" if one else "" for one in live)])
    for row in pruned_rows(records):
        cells = [record for record in records if record["row"] == row]
        table.append(
            [row, *(_spread([r for r in cells if r["sparsity"] == one], candidate, most) for one in sparsities)]
        )
    if candidate == "default":
        costs = [_cost(record for record in records if record["row"] == row) for row in pruned_rows(records)]
        table = [[*line, last] for line, last in zip(table, ["time", "---", "", *costs], strict=True)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in table)


def pruned_rows(records: Iterable[Record]) -> list[str]:
    """Rows of pruned networks, in the order of the registry."""
    found = {record["row"] for record in records}
    return [row for row in rows() if row in found]


def _live(records: Sequence[Record], sparsity: float) -> int | None:
    return next((record["live"] for record in records if record["sparsity"] == sparsity and "live" in record), None)


def _spread(records: Sequence[Record], candidate: str, most: int) -> str:
    found = accuracies(records, candidate)
    if not found:
        refused = [record["error"] for record in records if record["error"]]
        return ("refused" if "training_failed" not in refused[0] else "failed") if refused else ""
    deviation = f" ± {100 * stdev(found):.1f}" if len(found) > 1 else ""
    return f"{100 * fmean(found):.1f}{deviation}" + (f" ({len(found)})" if len(found) < most else "")


def accuracies(records: Iterable[Record], candidate: str) -> list[float]:
    """Test accuracies, one for each seed, although cells with and without a search both have the default protocol."""
    by_seed = {record["seed"]: record["test"][candidate] for record in records if candidate in record.get("test", {})}
    return list(by_seed.values())


def _cost(records: Iterable[Record]) -> str:
    """Median ratio of the seconds of pruning and fine-tuning to those of as many plain epochs, measured right after."""
    ratios = [
        record["seconds"] / (record["epochs"] * record["plain_epoch_s"])
        for record in records
        if record.get("plain_epoch_s")
    ]
    return f"{median(ratios):.2f}" if ratios else ""


def _errors(records: Sequence[Record]) -> str:
    """List of the errors of cells without a figure, each error once."""
    reasons: dict[tuple[str, str], set[float]] = {}
    for record in records:
        if record["error"]:
            reasons.setdefault((record["row"], record["error"]), set()).add(record["sparsity"])
    return "\n".join(
        f"- {row} at {', '.join(f'{100 * one:g}%' for one in sorted(where))}: {reason}"
        for (row, reason), where in reasons.items()
    )
