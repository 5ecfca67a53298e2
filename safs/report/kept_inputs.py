"""The panel of the inputs that a network reads, for networks that read only some of them."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from safs.report.style import BLUE, PALE_GREY

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_inputs(axes: "Axes", inputs: Mapping[str, Any]) -> None:
    """Draw the kept pixels of an image, darker if more of their channels are kept; or the kept channels in a row.

    Args:
        inputs: ``kind`` (``pixel`` or ``channel``), ``kept`` (flat indices over C * H * W, or channels), ``channels``
            and ``image_size``, as under ``inputs`` in report.json.
    """
    from matplotlib.colors import LinearSegmentedColormap

    kind, channels, size = inputs["kind"], inputs["channels"], inputs["image_size"]
    rows, columns, layers = (size, size, channels) if kind == "pixel" else (1, channels, 1)
    kept = Counter(index % (rows * columns) for index in inputs["kept"])
    counts = [[kept[row * columns + column] for column in range(columns)] for row in range(rows)]
    shades = LinearSegmentedColormap.from_list("kept", [PALE_GREY, BLUE])
    axes.imshow(counts, cmap=shades, vmin=0, vmax=layers)
    axes.set_anchor("N")
    axes.set_xticks([edge - 0.5 for edge in range(columns + 1)], [""] * (columns + 1))
    axes.set_yticks([edge - 0.5 for edge in range(rows + 1)], [""] * (rows + 1))
    axes.grid(color="white", linewidth=1.5 if columns <= 16 else 0.6)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_axisbelow(False)
    caption = f"{len(inputs['kept']):,} of {rows * columns * layers:,} {kind}s, in blue"
    if kind == "pixel" and channels > 1:
        caption += f";\nthe darker, the more of their {channels} channels"
    axes.annotate(caption, (0, 1), (0, 7), "axes fraction", "offset points", fontsize=9, linespacing=1.5)
