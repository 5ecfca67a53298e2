"""The picture of a job: trials, chosen operators, gains, and changes by layer."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safs.report.comparison import ComparisonRow, comparison_rows
from safs.report.deployed import draw_sizes, draw_times
from safs.report.front import draw_accuracy, draw_bytes, draw_milliseconds, front_rows, is_timed
from safs.report.kept_inputs import draw_inputs
from safs.report.layers import draw_dead_neurons, draw_gradient_flow
from safs.report.spent import spent
from safs.report.style import (
    BLUE,
    DARK,
    GREEN,
    GREY,
    MOST_NAMED,
    ORANGE,
    PALE_BLUE,
    PALE_GREEN,
    RED,
    STYLE,
    name_places,
    say,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Panel = Callable[[Axes, Mapping[str, Any]], None]

# The page, in inches.
_WIDTH, _LEFT, _RIGHT, _HEAD, _FOOT = 15.0, 1.05, 0.45, 1.62, 1.21
_ROW, _BELOW_ROW, _HALF = 3.24, 1.88, 5.77


def draw_picture(report: Mapping[str, Any], path: str | Path) -> None:
    """Draw a report.json to ``path``; its suffix sets the format (.png, .svg, .pdf).

    Reports without measurements by layer, a selection of inputs or a front have fewer panels.
    """
    # Matplotlib takes most of a second to import, which readers of the comparison should not wait for.
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    rows = 2 + ("layers" in report) + ("deploy" in report) + ("front" in report)
    height = _HEAD + rows * _ROW + (rows - 1) * _BELOW_ROW + _FOOT
    with rc_context(STYLE):
        figure = Figure(figsize=(_WIDTH, height), dpi=110)
        figure.text(_LEFT / _WIDTH, 1 - 0.5 / height, _headline(report), fontsize=18, fontweight="bold")
        figure.text(_LEFT / _WIDTH, 1 - 0.83 / height, _subtitle(report), fontsize=12, color=DARK)
        figure.text(_LEFT / _WIDTH, 1 - 1.05 / height, _size_and_cost(report), fontsize=11, color=GREY)
        for panel, draw in zip(_row(figure, 0, _HALF, _HALF), _searches_of(report), strict=True):
            draw(panel, _at_the_search(report))
            _name_sparsity(panel, report)
        sites, comparison = _row(figure, 1, _HALF, _HALF)
        sites.set_title("Activation chosen at each layer")
        _draw_sites(sites, report["sites"])
        comparison.set_title("What each part gained")
        _draw_comparison(comparison, comparison_rows(report))
        if "layers" in report:
            _draw_layers(figure, report)
        if "deploy" in report:
            sizes, times = _row(figure, 2 + ("layers" in report), _HALF, _HALF)
            sizes.set_title("Size of the result")
            draw_sizes(sizes, report["deploy"])
            times.set_title("Time on this CPU")
            draw_times(times, report["deploy"])
        if "front" in report:
            _draw_front(figure, rows - 1, report)
        figure.savefig(path)


def _at_the_search(report: Mapping[str, Any]) -> Mapping[str, Any]:
    """The report with the rows of the sparsity at which the search ran, if that is not the recommended one."""
    searched = next((point for point in report.get("front", ()) if point["searched"]), None)
    return report if searched is None else {**report, "rows": searched["rows"], "result": searched["result"]}


def _name_sparsity(axes: "Axes", report: Mapping[str, Any]) -> None:
    """Add the sparsity of the search to the axis, if the job has several."""
    if "front" in report:
        axes.set_xlabel(f"{axes.get_xlabel()}; at {100 * report['spec']['sparsity']:g}%")


def _row(figure: "Figure", number: int, *widths: float) -> list["Axes"]:
    """Add the panels of row ``number`` with these widths, in inches, spread over the width of the page."""
    page, total = figure.get_figheight(), _WIDTH - _LEFT - _RIGHT
    bottom = (page - _HEAD - (number + 1) * _ROW - number * _BELOW_ROW) / page
    between = (total - sum(widths)) / (len(widths) - 1)
    lefts = [_LEFT + sum(widths[:place]) + place * between for place in range(len(widths))]
    return [
        figure.add_axes((left / _WIDTH, bottom, width / _WIDTH, _ROW / page))
        for left, width in zip(lefts, widths, strict=True)
    ]


def _draw_layers(figure: "Figure", report: Mapping[str, Any]) -> None:
    """Draw the last row: dead neurons, gradient flow and, if pruning selected some, the inputs."""
    inputs = report.get("inputs")
    panels = _row(figure, 2, _HALF, _HALF) if inputs is None else _row(figure, 2, 4.0, 4.0, _ROW)
    titles = ("Dead neurons at each layer", "Gradient that reaches each layer", "Inputs that are read")
    for panel, title in zip(panels, titles, strict=False):
        panel.set_title(title, pad=42)
    draw_dead_neurons(panels[0], report)
    draw_gradient_flow(panels[1], report)
    if inputs is not None:
        draw_inputs(panels[2], inputs)


def _draw_front(figure: "Figure", number: int, report: Mapping[str, Any]) -> None:
    """Draw the front over sparsity, bytes and, if all points were timed, milliseconds."""
    timed = is_timed(front_rows(report))
    titles = ("Accuracy over sparsity", "Accuracy over bytes", "Accuracy over time")
    draws = (draw_accuracy, draw_bytes, draw_milliseconds)
    panels = _row(figure, number, *([3.9] * 3 if timed else [_HALF] * 2))
    for panel, title, draw in zip(panels, titles, draws, strict=False):
        panel.set_title(title)
        draw(panel, report)


def _headline(report: Mapping[str, Any]) -> str:
    job = report["job"]
    return f"{job['architecture']} on {job['dataset']} with {100 * job['sparsity']:g}% of its weights removed"


def _subtitle(report: Mapping[str, Any]) -> str:
    """The test accuracy of the result, and its gain over the baselines."""
    rows = _rows_by_name(report)
    result, default, one_shot = rows[report["result"]], rows.get("default"), rows.get("one_shot")
    reached = f"{result['label']}: {result['test_accuracy']:.1%} test accuracy"
    if default is None:
        return f"{reached}; the default protocol broke down."
    if default is result:
        return f"Nothing beat the {reached}."
    gain = f"{_points(result, default)} on the default protocol's {default['test_accuracy']:.1%}"
    if one_shot is not None and one_shot["test_accuracy"] is not None:
        gain += f", {_points(result, one_shot)} on its {one_shot['test_accuracy']:.1%} after one-shot pruning"
    return f"{reached}, {gain}."


def _points(row: Mapping[str, Any], baseline: Mapping[str, Any]) -> str:
    return f"{100 * (row['test_accuracy'] - baseline['test_accuracy']):+.1f} points"


def _size_and_cost(report: Mapping[str, Any]) -> str:
    """The weights and operations that are left, and the cost of the job if the report has it."""
    sparsity, took = report["sparsity"], spent(report)
    kept = f"{sparsity['live']:,} of {sparsity['weights']:,} weights{_operations(report)} are left."
    return kept if took is None else f"{kept} The job {took}."


def _operations(report: Mapping[str, Any]) -> str:
    """``and 7.1% of the operations``; empty if they were not measured."""
    if "layers" not in report:
        return ""
    totals = report["layers"][report["result"]]["totals"]
    return f" and {totals['flops_sparse'] / totals['flops_dense']:.1%} of the operations"


def _rows_by_name(report: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {row["name"]: row for row in report["rows"]}


def _searches_of(report: Mapping[str, Any]) -> "tuple[Panel, Panel]":
    """The panels of the first row: the two stages, or the joint search beside the final trainings."""
    if set(report["searches"]) - {"prune_search"} == {"joint"}:
        return _draw_joint, _draw_finals
    return _draw_operators, _draw_tuning


def _draw_operators(axes: "Axes", report: Mapping[str, Any]) -> None:
    axes.set_title("Stage 1: which activation function at which layer")
    _draw_searches(axes, report, {"activations": ("", BLUE)})


def _draw_tuning(axes: "Axes", report: Mapping[str, Any]) -> None:
    axes.set_title("Stage 2: how to fine-tune the sparse network")
    names = {"tune": (", stage 1's activations", BLUE), "tune_alone": (", the original activations", ORANGE)}
    _draw_searches(axes, report, names | {"joint": (", activations searched along", GREEN)})


def _draw_joint(axes: "Axes", report: Mapping[str, Any]) -> None:
    axes.set_title("Activation functions and fine-tuning, searched together")
    _draw_searches(axes, report, {"joint": ("", BLUE)})


def _draw_finals(axes: "Axes", report: Mapping[str, Any]) -> None:
    """Draw the validation accuracy of the final candidates by epoch."""
    axes.set_title("The candidates, trained to the end")
    colours = {"default": GREY, report["result"]: GREEN}
    candidates = {name: row for name, row in _rows_by_name(report).items() if name not in ("dense", "pruned")}
    if not any(report["curves"].get(name) for name in candidates):
        say(axes, "no curve was kept")
        return
    for name, row in candidates.items():
        curve = report["curves"].get(name)
        if not curve:
            continue
        epochs, accuracies = zip(*((point["epoch"], point["validation_accuracy"]) for point in curve), strict=True)
        axes.plot(epochs, accuracies, color=colours.get(name, BLUE), linewidth=2, marker="o", ms=4, label=row["label"])
    axes.set(xlabel="epoch", ylabel="validation accuracy", ylim=(-0.03, 1.03))
    axes.locator_params(axis="x", integer=True)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.grid(axis="y")
    axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.14), ncols=2)


def _draw_searches(axes: "Axes", report: Mapping[str, Any], searches: Mapping[str, tuple[str, str]]) -> None:
    """Draw trials in the order proposed.

    Args:
        searches: name of a search -> suffix in the legend, colour.
    """
    drawn = {name: report["searches"][name]["trials"] for name in searches if name in report["searches"]}
    every = [trial for trials in drawn.values() for trial in trials]
    if not every:
        say(axes, "not part of this job")
        return
    longest = max(trial["epochs"] for trial in every)
    for name, trials in drawn.items():
        _draw_trials(axes, trials, longest, *searches[name])
    broken = [trial["number"] + 1 for trial in every if trial["error"] is not None]
    if broken:
        axes.scatter(broken, [0.0] * len(broken), s=55, marker="x", color=RED, label="trial that broke down", zorder=3)
    _draw_levels(axes, report)
    shortest = min(trial["epochs"] for trial in every)
    epochs = f"{longest} epochs each" if shortest == longest else f"{shortest} to {longest} epochs, larger dots longer"
    axes.set(xlabel=f"trial ({epochs}), in the order proposed", ylabel="validation accuracy")
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlim(0.3, max(map(len, drawn.values())) + 0.7)
    axes.locator_params(axis="x", integer=True)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.grid(axis="y")
    axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.14), ncols=2)


def _draw_trials(axes: "Axes", trials: Sequence[Mapping[str, Any]], longest: int, suffix: str, colour: str) -> None:
    whole = [trial for trial in trials if trial["error"] is None]
    if not whole:
        return
    numbers, accuracies = zip(*((trial["number"] + 1, trial["accuracy"]) for trial in whole), strict=True)
    best = [max(accuracies[: place + 1]) for place in range(len(accuracies))]
    sizes = [8 + 28 * trial["epochs"] / longest for trial in whole]
    axes.plot(numbers, best, drawstyle="steps-post", color=colour, linewidth=2, label=f"best so far{suffix}")
    axes.scatter(numbers, accuracies, s=sizes, color=colour, alpha=0.6, linewidths=0, label=f"trial{suffix}")


def _draw_levels(axes: "Axes", report: Mapping[str, Any]) -> None:
    """Draw the accuracies of the default protocol and the result after their final trainings."""
    rows, epochs = _rows_by_name(report), report["spec"]["final"]["epochs"]
    for name, colour, line in (("default", GREY, "--"), (report["result"], GREEN, "-")):
        if (row := rows.pop(name, None)) is not None:
            accuracy = row["validation_accuracy"]
            label = f"{row['label']}, {epochs} epochs: {accuracy:.1%}"
            axes.axhline(accuracy, color=colour, linestyle=line, linewidth=1.5, label=label, zorder=1)


def _draw_sites(axes: "Axes", sites: Sequence[Mapping[str, Any]]) -> None:
    """Draw operators against sites: a ring for the network's own operator, a dot for the chosen one."""
    names = sorted({site["own"] for site in sites} | {site["chosen"] for site in sites}, reverse=True)
    places = range(1, len(sites) + 1)
    own = [names.index(site["own"]) for site in sites]
    chosen = [names.index(site["chosen"]) for site in sites]
    size = 130 if len(sites) <= MOST_NAMED else 26
    axes.vlines(places, own, chosen, color="#C8C8C8", linewidth=1.5 if size > 50 else 0.7, zorder=1)
    axes.scatter(places, own, s=size, facecolors="white", edgecolors=GREY, linewidths=1.5, label="original", zorder=2)
    axes.scatter(places, chosen, s=size * 0.8, color=BLUE, linewidths=0, label="chosen", zorder=3)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.grid(axis="y")
    name_places(axes, [site["path"] for site in sites], "activation calls")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)


def _draw_comparison(axes: "Axes", rows: Sequence[ComparisonRow]) -> None:
    """Draw validation and test accuracy as a pair of bars per row, the result in green."""
    for place, row in enumerate(rows):
        dark, pale = (GREEN, PALE_GREEN) if row.is_result else (BLUE, PALE_BLUE)
        _draw_bar(axes, place - 0.19, row.validation_accuracy, pale)
        _draw_bar(axes, place + 0.19, row.test_accuracy, dark)
    axes.set_yticks(range(len(rows)), [row.label.replace(", ", ",\n") for row in rows])
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set(fontweight="bold" if row.is_result else "normal", color=GREEN if row.is_result else DARK)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1.08), xlabel="accuracy: validation (pale) and test (dark); the result in green")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    axes.grid(axis="x")


def _draw_bar(axes: "Axes", place: float, accuracy: float | None, colour: str) -> None:
    if accuracy is not None:
        axes.barh(place, accuracy, height=0.36, color=colour)
        axes.text(accuracy + 0.008, place, f"{accuracy:.1%}", va="center", fontsize=9, color=DARK)
