"""Plot of the comparison of pruning methods, from the results file."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from benchmarks.comparison.cells import DENSE, Record
from benchmarks.comparison.tables import CANDIDATES, accuracies, groups, pruned_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BLUE, _ORANGE, _GREY = "#0072B2", "#E69F00", "#9A9A9A"
_COLUMNS = 4
_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
}


def draw(records: Sequence[Record], path: Path) -> None:
    """Draw the largest group of ``records``: accuracy over live weights for each method, or a list for one sparsity."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    group = groups(records)[0]
    names = pruned_rows(group)
    one_sparsity = len({record["sparsity"] for record in group if record["row"] != DENSE}) == 1
    lines = -(-len(names) // _COLUMNS)
    with rc_context(_STYLE):
        if one_sparsity:
            figure = Figure(figsize=(8.0, 0.3 * len(names) + 1.4), dpi=120, layout="constrained")
            _draw_list(figure.subplots(), group, names)
        else:
            figure = Figure(figsize=(3.0 * _COLUMNS, 2.3 * lines + 0.9), dpi=120, layout="constrained")
            figure.subplots(lines, _COLUMNS, sharex=True, sharey=True)
            _draw_panels(figure.axes, group, names)
        handles = dict(zip(*reversed(_legend(figure.axes)), strict=True))
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, frameon=False)
        figure.savefig(path)


def _draw_list(axes: "Axes", records: Sequence[Record], names: Sequence[str]) -> None:
    """Draw a list of the methods from best to worst, with error bars of one standard deviation."""
    scores = {row: accuracies([record for record in records if record["row"] == row], "default") for row in names}
    order = sorted((row for row in names if scores[row]), key=lambda row: fmean(scores[row]))
    axes.set_title(f"{_live(records):,} live weights", loc="left", fontweight="bold", fontsize=10)
    _draw_dense(axes, records, vertical=True)
    for candidate, colour in (("default", _BLUE), ("safs", _ORANGE)):
        for place, row in enumerate(order):
            if values := accuracies([record for record in records if record["row"] == row], candidate):
                spread = stdev(values) if len(values) > 1 else 0.0
                axes.errorbar(
                    fmean(values),
                    place,
                    xerr=spread,
                    color=colour,
                    marker="o",
                    markersize=4,
                    label=CANDIDATES[candidate],
                )
    axes.set_yticks(range(len(order)), order)
    axes.set_xlabel("test accuracy")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")


def _live(records: Sequence[Record]) -> int:
    return next((record["live"] for record in records if record["row"] != DENSE and "live" in record), 0)


def _draw_panels(panels: Sequence["Axes"], records: Sequence[Record], names: Sequence[str]) -> None:
    for place, panel in enumerate(panels):
        panel.set_visible(place < len(names))
    for row, panel in zip(names, panels, strict=False):
        _draw_panel(panel, records, row)
    for panel in panels[max(0, len(names) - _COLUMNS) : len(names)]:
        panel.set_xlabel("live weights")
        panel.tick_params(labelbottom=True)
    for panel in panels[::_COLUMNS]:
        panel.set_ylabel("test accuracy")


def _draw_dense(axes: "Axes", records: Sequence[Record], *, vertical: bool) -> None:
    if dense := accuracies([record for record in records if record["row"] == DENSE], "default"):
        line = axes.axvline if vertical else axes.axhline
        line(fmean(dense), color=_GREY, linewidth=0.8, linestyle=":", label="dense, same epochs")


def _legend(panels: Iterable["Axes"]) -> tuple[list[object], list[str]]:
    entries = [panel.get_legend_handles_labels() for panel in panels]
    return [handle for handles, _ in entries for handle in handles], [
        label for _, labels in entries for label in labels
    ]


def _draw_panel(axes: "Axes", records: Sequence[Record], row: str) -> None:
    axes.set_title(row, loc="left", fontweight="bold", fontsize=10)
    axes.set_xscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    _draw_dense(axes, records, vertical=False)
    if row != "magnitude":
        _draw_line(axes, records, "magnitude", "default", _GREY, "magnitude, one-shot")
    _draw_line(axes, records, row, "default", _BLUE, CANDIDATES["default"])
    _draw_line(axes, records, row, "safs", _ORANGE, CANDIDATES["safs"])


def _draw_line(axes: "Axes", records: Sequence[Record], row: str, candidate: str, colour: str, label: str) -> None:
    """Draw the mean of the seeds, with a band of one standard deviation."""
    points: dict[int, list[float]] = {}
    for record in records:
        if record["row"] == row and candidate in record.get("test", {}):
            points.setdefault(record["live"], []).append(record["test"][candidate])
    if not points:
        return
    lives = sorted(points)
    means = [fmean(points[live]) for live in lives]
    spreads = [stdev(points[live]) if len(points[live]) > 1 else 0.0 for live in lives]
    axes.plot(lives, means, color=colour, linewidth=1.6, marker="o", markersize=3, label=label)
    low = [mean - spread for mean, spread in zip(means, spreads, strict=True)]
    high = [mean + spread for mean, spread in zip(means, spreads, strict=True)]
    axes.fill_between(lives, low, high, color=colour, alpha=0.2, linewidth=0)
