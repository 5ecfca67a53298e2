"""The comparison of searches as a picture, from the cells' reports alone."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from benchmarks.searches.reading import Run, by_variant
from benchmarks.searches.tables import compared, title
from benchmarks.searches.variants import PAPER
from safs.report.style import BLUE, DARK, GREEN, GREY, ORANGE, RED, STYLE, say

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = (BLUE, ORANGE, GREEN, RED, "#CC79A7", "#56B4E9", "#B8A200", "#332288")


def draw(runs: Sequence[Run], path: Path) -> None:
    """Draws the setting with most runs: accuracy over epochs of search, and after the final training.

    Left, the best validation accuracy of any trial so far, mean over the seeds, from where all seeds have one. Right,
    validation accuracy after the final training over all epochs of search, a point a seed and a cross at the mean.
    """
    # Matplotlib takes most of a second to import.
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(12.0, 5.2), dpi=110, layout="constrained")
        search, final = figure.subplots(1, 2, sharey=True)
        groups = compared(runs)
        if not groups:
            say(search, "the paper's schedule was not run beside another")
        else:
            figure.suptitle(title(groups[0][0].setting), x=0.01, ha="left", fontweight="bold")
            _draw_group(search, final, by_variant(groups[0]))
            handles, labels = search.get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=5)
        figure.savefig(path)


def _draw_group(search: "Axes", final: "Axes", variants: dict[str, list[Run]]) -> None:
    others = iter(_COLOURS)
    for variant, runs in variants.items():
        if not all(run.searched for run in runs):
            continue
        colour = DARK if variant == PAPER else next(others, GREY)
        width = 2.6 if variant == PAPER else 1.8
        search.plot(*mean_curve(runs), drawstyle="steps-post", color=colour, linewidth=width, label=variant)
        epochs, scores = [run.searched for run in runs], [run.validation[run.final] for run in runs]
        final.scatter(epochs, scores, s=28, color=colour, alpha=0.5, linewidths=0)
        final.scatter([fmean(epochs)], [fmean(scores)], s=110, color=colour, marker="X")
        if variant == PAPER:
            final.axhline(fmean(scores), color=colour, linewidth=1, linestyle="--")
            final.axvline(fmean(epochs) / 4, color=GREY, linewidth=1, linestyle=":")
    search.set_title("Best trial so far")
    search.set(xlabel="epochs trained by the search", ylabel="validation accuracy")
    final.set_title("After the final training")
    final.set(xlabel="epochs trained by the search (dotted: a quarter of the paper's)")
    final.set_xlim(left=0)
    search.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    for axes in (search, final):
        axes.grid()


def mean_curve(runs: Sequence[Run]) -> tuple[list[int], list[float]]:
    """Epochs at which any seed's best so far changes, and the mean over the seeds there.

    It begins where every seed has finished a trial, and a search that has ended keeps its best.
    """
    curves = [run.incumbents() for run in runs]
    start = max(curve[0][0] for curve in curves)
    places = sorted({spent for curve in curves for spent, _ in curve if spent >= start})
    return places, [fmean(_best_at(curve, place) for curve in curves) for place in places]


def _best_at(curve: Sequence[tuple[int, float]], place: int) -> float:
    return max(best for spent, best in curve if spent <= place)
