"""The CPU of this machine."""

import platform
from pathlib import Path


def cpu_name() -> str:
    """Name of this machine's CPU."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
