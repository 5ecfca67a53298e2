"""The picture of a search: the trials of both stages, the operator at each site, and the final comparison."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safs.report.comparison import ComparisonRow, comparison_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette, which people with any colour blindness can tell apart.
_BLUE, _ORANGE, _GREEN, _RED, _GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#7F7F7F"
_PALE_BLUE, _PALE_GREEN = "#A6CEE3", "#99D8C7"
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#B0B0B0",
    "axes.axisbelow": True,
    "axes.labelcolor": "#404040",
    "xtick.color": "#404040",
    "ytick.color": "#404040",
    "grid.color": "#E6E6E6",
    "legend.frameon": False,
    "legend.fontsize": 9,
}
_MOST_NAMED_SITES = 20


def draw_picture(report: Mapping[str, Any], path: str | Path) -> None:
    """Draws a report.json; the path's suffix says in which format (.png, .svg, .pdf)."""
    # Matplotlib takes most of a second to import: who only wants the comparison should not wait for it.
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=(15, 11), dpi=110)
        figure.subplots_adjust(left=0.07, right=0.97, top=0.87, bottom=0.11, wspace=0.34, hspace=0.58)
        (operators, tuning), (sites, comparison) = figure.subplots(2, 2)
        figure.text(0.07, 0.955, _headline(report), fontsize=18, fontweight="bold")
        figure.text(0.07, 0.925, _subtitle(report), fontsize=12, color="#404040")
        operators.set_title("Stage 1: which activation function at which layer")
        _draw_searches(operators, report, {"activations": ("", _BLUE)})
        tuning.set_title("Stage 2: how to fine-tune the sparse network")
        _draw_searches(
            tuning,
            report,
            {"tune": (", stage 1's activations", _BLUE), "tune_alone": (", the original activations", _ORANGE)},
        )
        sites.set_title("Activation chosen at each layer")
        _draw_sites(sites, report["sites"])
        comparison.set_title("What each part gained")
        _draw_comparison(comparison, comparison_rows(report))
        figure.savefig(path)


def _headline(report: Mapping[str, Any]) -> str:
    job = report["job"]
    return f"{job['architecture']} on {job['dataset']} with {100 * job['sparsity']:g}% of its weights removed"


def _subtitle(report: Mapping[str, Any]) -> str:
    rows, sparsity = _rows_by_name(report), report["sparsity"]
    result, default = rows[report["result"]], rows.get("default")
    kept = f"{sparsity['live']:,} of {sparsity['weights']:,} weights are left."
    reached = f"{result['label']}: {result['test_accuracy']:.1%} test accuracy"
    if default is None:
        return f"{reached}; the default protocol broke down. {kept}"
    if default is result:
        return f"Nothing beat the {reached}. {kept}"
    points = 100 * (result["test_accuracy"] - default["test_accuracy"])
    return f"{reached}, {points:+.1f} points on the default protocol's {default['test_accuracy']:.1%}. {kept}"


def _rows_by_name(report: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {row["name"]: row for row in report["rows"]}


def _draw_searches(axes: "Axes", report: Mapping[str, Any], searches: Mapping[str, tuple[str, str]]) -> None:
    """Searches as trials in the order proposed; ``searches`` gives each one's name in the legend and its colour."""
    drawn = {name: report["searches"][name]["trials"] for name in searches if name in report["searches"]}
    if not any(drawn.values()):
        _say(axes, "not part of this job")
        return
    for name, trials in drawn.items():
        _draw_trials(axes, trials, *searches[name])
    broken = [trial["number"] + 1 for trials in drawn.values() for trial in trials if trial["error"] is not None]
    if broken:
        axes.scatter(broken, [0.0] * len(broken), s=55, marker="x", color=_RED, label="trial that broke down", zorder=3)
    _draw_levels(axes, report)
    epochs = report["spec"]["activations" if "activations" in drawn else "tune"]["epochs"]
    axes.set(xlabel=f"trial ({epochs} epochs each), in the order proposed", ylabel="validation accuracy")
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlim(0.3, max(map(len, drawn.values())) + 0.7)
    axes.locator_params(axis="x", integer=True)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.grid(axis="y")
    axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.14), ncols=2)


def _draw_trials(axes: "Axes", trials: Sequence[Mapping[str, Any]], suffix: str, colour: str) -> None:
    whole = [(trial["number"] + 1, trial["accuracy"]) for trial in trials if trial["error"] is None]
    if not whole:
        return
    numbers, accuracies = zip(*whole, strict=True)
    best = [max(accuracies[: place + 1]) for place in range(len(accuracies))]
    axes.plot(numbers, best, drawstyle="steps-post", color=colour, linewidth=2, label=f"best so far{suffix}")
    axes.scatter(numbers, accuracies, s=36, color=colour, alpha=0.6, linewidths=0, label=f"trial{suffix}")


def _draw_levels(axes: "Axes", report: Mapping[str, Any]) -> None:
    """What the default protocol and the result reached when they were trained to the end."""
    rows, epochs = _rows_by_name(report), report["spec"]["final"]["epochs"]
    for name, colour, line in (("default", _GREY, "--"), (report["result"], _GREEN, "-")):
        if (row := rows.pop(name, None)) is not None:
            accuracy = row["validation_accuracy"]
            label = f"{row['label']}, {epochs} epochs: {accuracy:.1%}"
            axes.axhline(accuracy, color=colour, linestyle=line, linewidth=1.5, label=label, zorder=1)


def _draw_sites(axes: "Axes", sites: Sequence[Mapping[str, Any]]) -> None:
    """Operators against sites: a ring where the network's own one was, a dot where the chosen one is."""
    names = sorted({site["own"] for site in sites} | {site["chosen"] for site in sites}, reverse=True)
    places = range(1, len(sites) + 1)
    own = [names.index(site["own"]) for site in sites]
    chosen = [names.index(site["chosen"]) for site in sites]
    size = 130 if len(sites) <= _MOST_NAMED_SITES else 26
    axes.vlines(places, own, chosen, color="#C8C8C8", linewidth=1.5 if size > 50 else 0.7, zorder=1)
    axes.scatter(places, own, s=size, facecolors="white", edgecolors=_GREY, linewidths=1.5, label="original", zorder=2)
    axes.scatter(places, chosen, s=size * 0.8, color=_BLUE, linewidths=0, label="chosen", zorder=3)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlim=(0.3, len(sites) + 0.7), ylim=(-0.6, len(names) - 0.4))
    axes.grid(axis="y")
    if len(sites) <= _MOST_NAMED_SITES:
        tilted = len(sites) > 6
        paths = [site["path"] for site in sites]
        axes.set_xticks(places, paths, rotation=35 if tilted else 0, ha="right" if tilted else "center")
    else:
        axes.set_xlabel(f"layer: the network's {len(sites)} activation calls, from input to output")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)


def _draw_comparison(axes: "Axes", rows: Sequence[ComparisonRow]) -> None:
    """Validation and test accuracy as a pair of bars a row, the result in green."""
    for place, row in enumerate(rows):
        dark, pale = (_GREEN, _PALE_GREEN) if row.is_result else (_BLUE, _PALE_BLUE)
        _draw_bar(axes, place - 0.19, row.validation_accuracy, pale)
        _draw_bar(axes, place + 0.19, row.test_accuracy, dark)
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set(fontweight="bold" if row.is_result else "normal", color=_GREEN if row.is_result else "#404040")
    axes.invert_yaxis()
    axes.set(xlim=(0, 1.08), xlabel="accuracy: validation (pale) and test (dark); the result in green")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    axes.grid(axis="x")


def _draw_bar(axes: "Axes", place: float, accuracy: float | None, colour: str) -> None:
    if accuracy is not None:
        axes.barh(place, accuracy, height=0.36, color=colour)
        axes.text(accuracy + 0.008, place, f"{accuracy:.1%}", va="center", fontsize=9, color="#404040")


def _say(axes: "Axes", message: str) -> None:
    axes.text(0.5, 0.5, message, ha="center", va="center", transform=axes.transAxes, color=_GREY, fontsize=12)
    axes.set(xticks=[], yticks=[])
