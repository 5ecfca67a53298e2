"""Plot of the comparison of searches, from the cells' reports."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from benchmarks.searches.reading import Run, by_variant
from benchmarks.searches.tables import compared, title
from benchmarks.searches.variants import PAPER
from safs.report.style import BLUE, DARK, GREEN, GREY, ORANGE, RED, STYLE, say

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = (BLUE, ORANGE, GREEN, RED, "#CC79A7", "#56B4E9", "#B8A200", "#332288")


def draw(runs: Sequence[Run], path: Path) -> None:
    """Draw one row for each setting: accuracy during the search, and after the final training.

    The left panel shows the best validation accuracy of any trial so far over the trained epochs, as the mean of the
    seeds, from the epoch at which all seeds have a trial. The right panel shows the validation accuracy after the final
    training over all epochs of the search, with a point for each seed and a cross at the mean. Seeds differ more than
    searches do, so only the seeds of the paper's schedule are drawn, and only searches that ran with all of them.
    """
    # Matplotlib takes most of a second to import.
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    groups = compared(runs)
    with rc_context(STYLE):
        figure = Figure(figsize=(12.0, 0.9 + 4.0 * max(1, len(groups))), dpi=110, layout="constrained")
        panels = figure.subplots(max(1, len(groups)), 2, squeeze=False)
        if not groups:
            say(panels[0][0], "no setting has both the paper's schedule and another search")
        names = sorted({run.variant for group in groups for run in group} - {PAPER})
        colours = dict(zip(names, _COLOURS, strict=False)) | {PAPER: DARK}
        for (search, final), group in zip(panels, groups, strict=False):
            _draw_group(search, final, beside_the_paper(group), colours)
            search.set_title(title(group[0].setting), fontsize=11)
            final.set_title("after the final training", fontsize=11, fontweight="normal")
        entries = {label: handle for panel in figure.axes for handle, label in zip(*_legend(panel), strict=True)}
        figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=5)
        figure.savefig(path)


def beside_the_paper(group: Sequence[Run]) -> dict[str, list[Run]]:
    """Variant -> its runs with the seeds of the paper's schedule, for variants that searched with all of them."""
    variants = by_variant(group)
    seeds = {run.seed for run in variants[PAPER]}
    shared = {name: [run for run in runs if run.seed in seeds and run.searched] for name, runs in variants.items()}
    return {name: runs for name, runs in shared.items() if len(runs) == len(seeds)}


def _draw_group(
    search: "Axes", final: "Axes", variants: Mapping[str, Sequence[Run]], colours: Mapping[str, str]
) -> None:
    for variant, runs in variants.items():
        colour, width = colours.get(variant, GREY), 2.6 if variant == PAPER else 1.8
        search.plot(*mean_curve(runs), drawstyle="steps-post", color=colour, linewidth=width, label=variant)
        epochs, scores = [run.searched for run in runs], [run.validation[run.final] for run in runs]
        if len(runs) > 1:
            final.scatter(epochs, scores, s=28, color=colour, alpha=0.5, linewidths=0)
        final.scatter([fmean(epochs)], [fmean(scores)], s=90, color=colour, marker="X")
        if variant == PAPER:
            final.axhline(fmean(scores), color=colour, linewidth=1, linestyle="--")
            final.axvline(fmean(epochs) / 4, color=GREY, linewidth=1, linestyle=":")
    search.set(xlabel="epochs trained by the search", ylabel="validation accuracy, best trial so far")
    final.set(xlabel="epochs trained by the search (dotted: a quarter of the paper's)")
    final.set_xlim(left=0)
    for axes in (search, final):
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g}%")
        axes.grid()


def _legend(panel: "Axes") -> tuple[list[Any], list[Any]]:
    return panel.get_legend_handles_labels()


def mean_curve(runs: Sequence[Run]) -> tuple[list[int], list[float]]:
    """Epochs at which the best accuracy of any seed changes, and the mean of the best accuracies there.

    The curve starts when every seed has finished a trial. A search that has ended keeps its best accuracy.
    """
    curves = [run.incumbents() for run in runs]
    start = max(curve[0][0] for curve in curves)
    epochs = sorted({spent for curve in curves for spent, _ in curve if spent >= start})
    return epochs, [fmean(_best_after(curve, spent) for curve in curves) for spent in epochs]


def _best_after(curve: Sequence[tuple[int, float]], epochs: int) -> float:
    return max(best for spent, best in curve if spent <= epochs)
