"""``python -m safs.models.declared GFLOPS CPU_S``: check an uploaded network in a process of its own.

Standard input holds the JSON header of a safetensors file. Standard output gets one line of JSON: ``{"name": ...,
"classes": ...}``, or ``{"code": ..., "message": ...}`` for a network that is refused. The process limits its own memory
and processor time before it reads, and can write no files.
"""

import json
import os
import resource
import sys
import tempfile
from pathlib import Path

import torch

from safs.errors import SafsError
from safs.models.declared.checking import check_header
from safs.models.declared.operations import operations

MEMORY_BYTES = 2 * 2**30
"""Memory that the check may take beyond what PyTorch's import takes. The largest documents need a tenth of it."""


def main() -> None:
    """Answer the request on standard input."""
    max_gflops, cpu_s = float(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    operations()
    tempfile.tempdir = "/"  # PyTorch asks for the folder; finding one would write a file
    _limit_resources(cpu_s)
    result: dict[str, object]
    try:
        document = check_header(sys.stdin.buffer.read(), max_gflops=max_gflops)
        result = {"name": document.name, "classes": document.classes}
    except SafsError as error:
        result = {"code": error.code, "message": error.message}
    except (MemoryError, RecursionError) as error:
        result = {"code": "network_too_large", "message": f"checking the network needs too much memory ({error!r})"}
    os.write(1, json.dumps(result).encode() + b"\n")


def _limit_resources(cpu_s: int) -> None:
    lines = Path("/proc/self/status").read_text().splitlines()
    used = next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmData:"))
    limits = {
        resource.RLIMIT_DATA: used + MEMORY_BYTES,
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for limit, most in limits.items():
        resource.setrlimit(limit, (most, most))


if __name__ == "__main__":
    main()
