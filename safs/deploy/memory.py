"""Peak memory of a result in use, measured in a process of its own.

python -m safs.deploy.memory RESULT sparse 1 32
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_LIMIT_S = 600.0


def peak_bytes(directory: Path, runtime: str, batches: Sequence[int], *, limit_s: float = _LIMIT_S) -> list[int | None]:
    """The peak of resident memory while a batch runs, without what the process has before it loads the result.

    Returns:
        Bytes for each of ``batches``; None where they cannot be measured: without ``/proc``, or if the process
        fails or takes longer than ``limit_s``.
    """
    command = [sys.executable, "-P", "-m", "safs.deploy.memory", str(directory), runtime, *map(str, batches)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=limit_s, check=True)
        found: list[int | None] = json.loads(done.stdout)
    except (subprocess.SubprocessError, OSError, ValueError):
        return [None] * len(batches)
    return found


def _measured(directory: Path, runtime: str, batches: Sequence[int]) -> list[int | None]:
    import torch

    from safs.checkpoint import open_result
    from safs.deploy.loading import load

    torch.set_num_threads(1)
    if runtime == "sparse":
        import safs.deploy.sparse.runtime  # noqa: F401  # its packages count as loaded before the result
    blueprint = open_result(directory).network.blueprint
    before = _resident("VmRSS")
    network = load(directory, runtime=runtime)
    peaks: list[int | None] = []
    with torch.inference_mode():
        for batch in batches:
            images = torch.zeros(batch, blueprint.channels, blueprint.image_size, blueprint.image_size)
            network(images)  # the first batch of a size is timed in every way
            Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
            network(images)
            peaks.append(max(0, _resident("VmHWM") - before))
    return peaks


def _resident(entry: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{entry}:"))


if __name__ == "__main__":
    print(json.dumps(_measured(Path(sys.argv[1]), sys.argv[2], [int(batch) for batch in sys.argv[3:]])))
