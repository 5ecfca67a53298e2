"""Timings on disk: what was fastest for a network on this machine, so that the next process need not measure again.

The folder is ``SAFS_TIMINGS``, or ``safs/timings`` in the user's cache folder. It can be deleted at any time.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from torch import Tensor

from safs.deploy.cpu import cpu_name

_PACKAGES = ("torch", "numba", "onnxruntime", "openvino", "safs-service")
_SOURCES = Path(__file__).parent


def folder() -> Path:
    """The folder of the timings."""
    if given := os.environ.get("SAFS_TIMINGS"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "safs" / "timings"


def digest(graph: str, tensors: Mapping[str, Tensor]) -> str:
    """The sha256 of a network: its graph, and its tensors by name."""
    found = hashlib.sha256(graph.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous()
        found.update(f"\0{name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
        found.update(tensor.numpy().tobytes())
    return found.hexdigest()


def file_for(network: str, batch: tuple[int, ...]) -> Path:
    """The file of the timings of a network for batches of one shape and a number of threads.

    Args:
        network: its ``digest``.
        batch: shape, and number of threads.
    """
    parts = [network, list(batch), cpu_name(), *map(_version, _PACKAGES), _sources_digest()]
    return folder() / f"{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}.json"


def read(file: Path) -> dict[str, Any] | None:
    """The content of ``file``; None if it is missing or damaged."""
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def write(file: Path, content: Mapping[str, Any]) -> None:
    """Write ``content``; a folder that cannot be written and a full disk are ignored."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(content))
        partial.replace(file)
    except OSError:
        return


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _sources_digest() -> str:
    """Changes of this package can change what is fastest."""
    sources = sorted(_SOURCES.rglob("*.py"))
    return hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()
