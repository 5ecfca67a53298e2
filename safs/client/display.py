"""A job as text and HTML, for terminals and notebooks; needs no other package."""

from collections.abc import Mapping
from html import escape
from typing import Any


def progress_line(view: Mapping[str, Any]) -> str:
    """The state and the progress of a job on one line.

    >>> progress_line({"state": "running", "progress": {"stage": "joint", "stage_number": 3, "stages": 5,
    ...     "trials_done": 2, "trials": 32, "best_accuracy": 0.914, "fraction": 0.42, "remaining_s": 75.0}})
    'running: stage 3 of 5 (joint), 2 of 32 trials done, best 91.4%, 42% of the job, about 1:15 left'
    """
    progress = view["progress"]
    if progress is None:
        return str(view["state"])
    parts = [f"stage {progress['stage_number']} of {progress['stages']} ({progress['stage']})"]
    if progress["trials"] > 1:
        parts.append(f"{progress['trials_done']} of {progress['trials']} trials done")
    if progress["best_accuracy"] is not None:
        parts.append(f"best {progress['best_accuracy']:.1%}")
    parts.append(f"{progress['fraction']:.0%} of the job")
    if progress.get("remaining_s"):
        minutes, seconds = divmod(round(progress["remaining_s"]), 60)
        parts.append(f"about {minutes}:{seconds:02} left")
    return f"{view['state']}: {', '.join(parts)}"


def network_name(spec: Mapping[str, Any]) -> str:
    """The architecture of a job spec, or the upload that holds the own network.

    >>> network_name({"model": {"architecture": None, "network": "upload_1"}})
    'own network (upload_1)'
    """
    model = spec["model"]
    return str(model["architecture"] or f"own network ({model.get('network')})")


def goal(spec: Mapping[str, Any]) -> str:
    """The sparsity of a job spec, the sparsities of its front, or its target.

    >>> goal({"sparsity": 0.99}), goal({"sparsity": 0.99, "front": [0.9, 0.99]})
    ('0.99', '0.9, 0.99')
    >>> goal({"sparsity": None, "target": {"flops": 0.3, "bytes": None, "latency": None}})
    'flops 0.3'
    """
    target = spec.get("target")
    if not target:
        return ", ".join(f"{one:g}" for one in spec.get("front") or [spec["sparsity"]])
    return " ".join(f"{name} {value:.15g}" for name, value in target.items() if value is not None)


def as_html(view: Mapping[str, Any]) -> str:
    """A table of the job for a notebook; all text is escaped."""
    spec = view["spec"]
    facts = {
        "job": view["id"],
        "name": view["name"],
        "progress": progress_line(view),
        "network": network_name(spec),
        "data": spec["data"]["dataset"],
        "sparsity": goal(spec),
        "error": (view["error"] or {}).get("message"),
    }
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>"
        for name, value in facts.items()
        if value is not None
    )
    return f"<table>{rows}</table>"
