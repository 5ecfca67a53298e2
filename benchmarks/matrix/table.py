"""The table of the matrix, between the marks of a page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.matrix.networks import HUGGING_FACE, NAMED

ALL = (*NAMED, *(f"transformers/{kind}" for kind in HUGGING_FACE))
BEGIN, END = "<!-- matrix -->", "<!-- end of matrix -->"
COLUMNS = ("sites", "search", "unstructured", "filter", "capture")
"""Measurements, in the order of the table."""


def write_table(results: Sequence[Mapping[str, Any]], page: Path) -> None:
    """Write the table and the reasons of failures between the marks of ``page``."""
    before, _, rest = page.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n\n{table(results)}\n\n{END}{after}")


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """One row for each network, the totals, what fails and why, and the networks that were not measured."""
    lines = [
        "| network | pixels | traced by | sites | search | 95% | filter 30% | capture |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [_row(result) for result in results]
    for label, part in (("torchvision and timm", False), ("Hugging Face", True)):
        chosen = [result for result in results if result["name"].startswith("transformers/") is part]
        counts = " | ".join(f"{sum(_ok(result, what) for result in chosen)} of {len(chosen)}" for what in COLUMNS)
        lines.append(f"| **{label}** | | | {counts} |")
    failures = [line for result in results for line in _failures(result)]
    measured = {result["name"] for result in results}
    missing = [f"`{name}`" for name in ALL if name not in measured]
    left = [f"- Not measured: {', '.join(missing)}."] if missing else []
    return "\n".join([*lines, "", *failures, *left])


def _row(result: Mapping[str, Any]) -> str:
    sites = str(result.get("number_of_sites", "no"))
    seconds = result.get("capture", {}).get("seconds")
    captured = "yes" if seconds is None else f"{seconds:g} s"
    capture = captured if _ok(result, "capture") else "no"
    cells = [sites, *("yes" if _ok(result, what) else "no" for what in COLUMNS[1:-1]), capture]
    return f"| `{result['name']}` | {result.get('image_size', '')} | {result.get('route', '')} | {' | '.join(cells)} |"


def _ok(result: Mapping[str, Any], what: str) -> bool:
    return bool(result.get(what, {}).get("ok"))


def _failures(result: Mapping[str, Any]) -> list[str]:
    stopped = [f"- `{result['name']}`: {result['error']}"] if "error" in result else []
    return stopped + [
        f"- `{result['name']}`, {what}: {result[what]['error']}"
        for what in COLUMNS
        if what in result and not result[what]["ok"]
    ]
