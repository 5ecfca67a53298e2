"""Panels of the measurements by layer: dead neurons and gradient flow, before and after the activation search."""

from collections.abc import Mapping, Sequence
from math import floor, log10, nan
from typing import TYPE_CHECKING, Any

from safs.report.style import GREEN, GREY, MOST_NAMED, ORANGE, name_places

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_dead_neurons(axes: "Axes", report: Mapping[str, Any]) -> None:
    """Draw the dead-neuron rate at each site; dotted lines show the part without incoming weights (static)."""
    drawn = _networks(report, "sites")
    for label, colour, sites in drawn:
        _draw(axes, [site["dead_static"] + site["dead_dynamic"] for site in sites], color=colour, label=label)
    dotted: dict[str, Any] = {"linestyle": ":", "markerfacecolor": "white"}
    unfed = [(colour, [site["dead_static"] for site in sites]) for _, colour, sites in drawn]
    for colour, static in unfed:
        if any(static):
            _draw(axes, static, color=colour, **dotted)
    if any(any(static) for _, static in unfed):
        _draw(axes, [nan], color=GREY, label="those with no weights left", **dotted)
    axes.set(ylabel="dead neurons, mean over validation images", ylim=(-0.03, 1.03))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    _finish(axes, [site["path"] for site in drawn[0][2]], "activation calls")


def draw_gradient_flow(axes: "Axes", report: Mapping[str, Any]) -> None:
    """Draw the norm of the gradient over each layer's live weights; a cross at the bottom marks a zero gradient."""
    drawn = _networks(report, "layers")
    positive = [layer["gradient_norm"] for _, _, layers in drawn for layer in layers if layer["gradient_norm"]]
    bottom = 10.0 ** floor(log10(min(positive, default=1.0)) - 0.1)
    axes.set_yscale("log")
    for label, colour, layers in drawn:
        norms = [layer["gradient_norm"] for layer in layers]
        lost = [place for place, norm in enumerate(norms, start=1) if norm == 0]
        _draw(axes, [norm or None for norm in norms], color=colour, label=label)
        axes.scatter(lost, [bottom] * len(lost), s=55, marker="x", color=colour, clip_on=False, zorder=3)
    axes.set_ylim(bottom, 2 * max(positive, default=1.0))
    axes.tick_params(axis="y", which="minor", labelleft=False)
    axes.set_ylabel("norm of the gradient over live weights")
    _finish(axes, [layer["name"].removesuffix(".weight") for layer in drawn[0][2]], "prunable layers")


def _networks(report: Mapping[str, Any], part: str) -> list[tuple[str, str, Sequence[Mapping[str, Any]]]]:
    """Label, colour and measured layers or sites of pruned, default protocol and result."""
    labels = {row["name"]: row["label"] for row in report["rows"]}
    colours = {"pruned": ORANGE, "default": GREY} | {report["result"]: GREEN}
    measured = report["layers"]
    return [(labels[name], colour, measured[name][part]) for name, colour in colours.items() if name in measured]


def _draw(axes: "Axes", values: Sequence[float | None], **style: Any) -> None:
    """Draw a line over the layers, with gaps for missing values."""
    numbers = [nan if value is None else value for value in values]
    few = len(values) <= MOST_NAMED
    look = {"marker": "o" if few else None, "markersize": 6, "linewidth": 1.8 if few else 1.2} | style
    axes.plot(range(1, len(values) + 1), numbers, **look)


def _finish(axes: "Axes", names: Sequence[str], what: str) -> None:
    name_places(axes, names, what)
    axes.grid(axis="y")
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2)
