"""Colours, fonts and axis names that all panels share."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette: distinguishable with any colour blindness.
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#7F7F7F"
PALE_BLUE, PALE_GREEN, PALE_GREY, DARK = "#A6CEE3", "#99D8C7", "#E6E6E6", "#404040"
STYLE: dict[Any, Any] = {
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
    "axes.labelcolor": DARK,
    "xtick.color": DARK,
    "ytick.color": DARK,
    "grid.color": PALE_GREY,
    "legend.frameon": False,
    "legend.fontsize": 9,
}
MOST_NAMED = 20
"""Layers or sites on an axis that are named; if there are more, the axis shows only their number."""
LONGEST_NAME = 18
"""Characters of a name on an axis. Longer names are cut at the start, since their end says more."""


def name_places(axes: "Axes", names: Sequence[str], what: str) -> None:
    """Label the positions 1, 2, ... of the x axis with ``names``, or with their number if names do not fit.

    Args:
        what: plural noun for the positions, such as ``activation calls``.
    """
    axes.set_xlim(0.3, len(names) + 0.7)
    if len(names) > MOST_NAMED:
        axes.locator_params(axis="x", integer=True)
        axes.set_xlabel(f"layer: the network's {len(names)} {what}, from input to output")
        return
    tilted = len(names) > 6
    short = [name if len(name) <= LONGEST_NAME else f"…{name[1 - LONGEST_NAME :]}" for name in names]
    axes.set_xticks(range(1, len(names) + 1), short, rotation=35 if tilted else 0, ha="right" if tilted else "center")


def say(axes: "Axes", message: str) -> None:
    """Write ``message`` into a panel that has nothing to draw."""
    axes.text(0.5, 0.5, message, ha="center", va="center", transform=axes.transAxes, color=GREY, fontsize=12)
    axes.set(xticks=[], yticks=[])
