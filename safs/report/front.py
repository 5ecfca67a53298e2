"""The points of a front: a row of a table for each, and the panels of the picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from safs.report.style import BLUE, DARK, GREEN, GREY

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True)
class FrontRow:
    """One point of a front; accuracies and sparsity are fractions in [0, 1]."""

    sparsity: float
    label: str
    """The row of the comparison that won at this sparsity."""
    validation_accuracy: float
    test_accuracy: float
    live_weights: int
    size_bytes: int
    """Size of the smallest format that the point was exported in."""
    milliseconds: float | None
    """Time of a batch of one by the sparse runtime; None if it was not measured."""
    is_recommended: bool
    is_searched: bool
    """True if the search ran at this sparsity."""


def front_rows(report: Mapping[str, Any]) -> list[FrontRow]:
    """The front of a report.json in ascending order of sparsity; empty if the job has a single sparsity."""
    return [
        FrontRow(
            sparsity=point["sparsity"],
            label=next(row["label"] for row in point["rows"] if row["name"] == point["result"]),
            validation_accuracy=point["validation_accuracy"],
            test_accuracy=point["test_accuracy"],
            live_weights=point["live"],
            size_bytes=point["size_bytes"],
            milliseconds=next((time["sparse_ms"] for time in point["deploy"]["times"]), None),
            is_recommended=point["recommended"],
            is_searched=point["searched"],
        )
        for point in report.get("front", ())
    ]


def is_timed(rows: Sequence[FrontRow]) -> bool:
    """True if all points were timed."""
    return all(row.milliseconds is not None for row in rows)


def draw_accuracy(axes: "Axes", report: Mapping[str, Any]) -> None:
    """Draw the accuracies of the points over the share of the weights that is left, beside the dense network's."""
    rows = front_rows(report)
    left = [100 * (1 - row.sparsity) for row in rows]
    dense = next(row["test_accuracy"] for row in report["rows"] if row["name"] == "dense")
    axes.axhline(100 * dense, color=GREY, linestyle=":", label="dense, test")
    axes.plot(left, [100 * row.validation_accuracy for row in rows], "o--", color=BLUE, label="validation")
    axes.plot(left, [100 * row.test_accuracy for row in rows], "o-", color=GREEN, label="test")
    _mark(axes, rows, left)
    axes.set_xscale("log")
    axes.set_xticks(left, [f"{one:.3g}" for one in left])
    axes.minorticks_off()
    axes.set(xlabel="weights that are left, in %", ylabel="accuracy in %")
    axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.14), ncols=3)


def draw_bytes(axes: "Axes", report: Mapping[str, Any]) -> None:
    """Draw the test accuracies of the points over the size of their smallest file."""
    rows = front_rows(report)
    _draw(axes, rows, [row.size_bytes / 1000 for row in rows], "kB of the smallest file")


def draw_milliseconds(axes: "Axes", report: Mapping[str, Any]) -> None:
    """Draw the test accuracies of the points over the time of the sparse runtime."""
    rows = front_rows(report)
    _draw(axes, rows, [row.milliseconds or 0.0 for row in rows], "ms an image by the sparse runtime")


def _draw(axes: "Axes", rows: Sequence[FrontRow], values: Sequence[float], label: str) -> None:
    axes.plot(values, [100 * row.test_accuracy for row in rows], "o-", color=GREEN)
    _mark(axes, rows, values)
    axes.set(xlabel=label, ylabel="test accuracy in %")
    axes.set_xlim(left=0)


def _mark(axes: "Axes", rows: Sequence[FrontRow], values: Sequence[float]) -> None:
    """Write the sparsity at each point, on the side where the panel has room, and circle the recommended one."""
    axes.margins(y=0.18)
    for row, value in zip(rows, values, strict=True):
        at = (value, 100 * row.test_accuracy)
        if row.is_recommended:
            axes.plot(*at, "o", markersize=13, markerfacecolor="none", markeredgecolor=DARK)
        text = f"{100 * row.sparsity:.5g}%" + (" (recommended)" if row.is_recommended else "")
        is_last = value == max(values)
        side: Any = {"xytext": (-8, -14), "ha": "right"} if is_last else {"xytext": (6, -14), "ha": "left"}
        axes.annotate(text, at, textcoords="offset points", fontsize=8, color=DARK, **side)
