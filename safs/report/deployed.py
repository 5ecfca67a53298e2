"""Sizes and times of a result: two sentences for tables, and the panels of the picture."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from safs.report.style import BLUE, DARK, GREEN, GREY, say

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NO_GAIN = 1.05
"""Gain up to which the sparse runtime counts as no faster."""


def deployed(report: Mapping[str, Any]) -> list[str]:
    """Sentences about the target, the sizes and the times in a report.json, as far as it has them.

    >>> deployed({"deploy": {"checkpoint_bytes": 1000, "formats": [], "times": [], "error": None}})
    []
    """
    section, target = report.get("deploy"), report.get("target")
    lines = [] if target is None else [_target(target)]
    lines += [] if section is None else [_sizes(section), _times(section)]
    return [line for line in lines if line]


def draw_sizes(axes: "Axes", section: Mapping[str, Any]) -> None:
    """Draw the bytes of the checkpoint, of each format, and of the entropy bound."""
    written = [(entry["format"], entry["size_bytes"]) for entry in section["formats"] if entry["size_bytes"]]
    bars = [("checkpoint", section["checkpoint_bytes"], GREY)]
    bars += [(name, size, GREEN) for name, size in written]
    bars += [("entropy\nbound", section["bound_bytes"], BLUE)]
    for place, (_, size, colour) in enumerate(bars):
        axes.barh(place, size / 1000, height=0.6, color=colour)
        _write_beside(axes, size / 1000, place, size_text(size))
    axes.set_yticks(range(len(bars)), [name for name, _, _ in bars])
    axes.invert_yaxis()
    axes.set(xlim=(0, 1.25 * max(size for _, size, _ in bars) / 1000), xlabel="kB")
    axes.grid(axis="x")


def draw_times(axes: "Axes", section: Mapping[str, Any]) -> None:
    """Draw the milliseconds of a batch, by PyTorch and by the sparse runtime."""
    if not section["times"]:
        say(axes, section["error"] or "not timed; deploy.runtime: sparse times it")
        return
    labels = []
    for place, entry in enumerate(section["times"]):
        for offset, key, colour in ((-0.19, "dense_ms", GREY), (0.19, "sparse_ms", GREEN)):
            value = entry[key] / entry["batch"]
            axes.barh(place + offset, value, height=0.36, color=colour)
            _write_beside(axes, value, place + offset, f"{value:.3g}")
        labels.append(f"batch of {entry['batch']}\n{_gain(entry)}")
    longest = max(max(entry["dense_ms"], entry["sparse_ms"]) / entry["batch"] for entry in section["times"])
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1.2 * longest), xlabel="ms an image: PyTorch (grey) and the sparse runtime (green)")
    axes.grid(axis="x")


def _write_beside(axes: "Axes", end: float, place: float, text: str) -> None:
    """Write ``text`` to the right of the bar that ends at ``end``."""
    axes.annotate(text, (end, place), (4, 0), textcoords="offset points", va="center", fontsize=9, color=DARK)


def size_text(size: int) -> str:
    """A size for people.

    >>> size_text(512), size_text(22_274), size_text(44_800_000)
    ('512 bytes', '22.3 kB', '44.8 MB')
    """
    if size < 1000:
        return f"{size} bytes"
    return f"{size / 1000:.1f} kB" if size < 1_000_000 else f"{size / 1_000_000:.1f} MB"


def _target(target: Mapping[str, Any]) -> str:
    """The cost of the result beside the job's target.

    >>> _target({"measure": "flops", "asked": 0.3, "estimated": 0.2912, "measured": 0.3123, "reached": False,
    ...     "cpu": None, "sparsity": 0.95})
    'target: flops 0.3 was missed: 0.312 measured, 0.291 estimated at sparsity 0.95'
    """

    def told(cost: float | None) -> str:
        return "nothing" if cost is None else f"{cost:,.0f}" if target["measure"] == "bytes" else f"{cost:.3g}"

    on = "" if target["cpu"] is None else f" on {target['cpu']}"
    line = (
        f"target: {target['measure']} {target['asked']:,g} was {'reached' if target['reached'] else 'missed'}: "
        f"{told(target['measured'])} measured{on}, {told(target['estimated'])} estimated at sparsity "
        f"{target['sparsity']:g}"
    )
    first = next(iter(target.get("prunings", ())), None)
    if first is None or first["sparsity"] == target["sparsity"] or first["measured"] is None:
        return line
    return f"{line}; corrected from sparsity {first['sparsity']:g}, where it was {told(first['measured'])}"


def _sizes(section: Mapping[str, Any]) -> str:
    parts = [
        f"{entry['format']} {size_text(entry['size_bytes'])}" if entry["size_bytes"] else f"{entry['format']} failed"
        for entry in section["formats"]
    ]
    return f"sizes: {', '.join(parts)}; the checkpoint has {size_text(section['checkpoint_bytes'])}" if parts else ""


def _times(section: Mapping[str, Any]) -> str:
    if not section["times"]:
        return f"the sparse runtime could not be measured: {section['error']}" if section["error"] else ""
    parts = [
        f"batch of {entry['batch']} {entry['sparse_ms']:.3g} ms{_engine(entry)}, PyTorch {entry['dense_ms']:.3g} ms: "
        f"{_gain(entry)}"
        for entry in section["times"]
    ]
    threads = "1 thread" if section["threads"] == 1 else f"{section['threads']} threads"
    line = f"sparse runtime on {section['cpu']}, {threads}: {'; '.join(parts)}"
    return line + _memory(section["times"][-1])


def _memory(entry: Mapping[str, Any]) -> str:
    dense, sparse = entry.get("dense_bytes"), entry.get("sparse_bytes")
    if dense is None or sparse is None:
        return ""
    return f"; memory of the larger batch {size_text(sparse)}, PyTorch {size_text(dense)}"


def _engine(entry: Mapping[str, Any]) -> str:
    names = {"onnxruntime": "onnxruntime", "openvino": "OpenVINO"}
    engine = names.get(entry.get("engine", ""))
    return "" if engine is None else f" (dense by {engine})"


def _gain(entry: Mapping[str, Any]) -> str:
    gain = entry["dense_ms"] / entry["sparse_ms"]
    return f"{gain:.1f} times faster" if gain >= NO_GAIN else "no gain on this machine"
