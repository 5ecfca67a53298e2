"""The estimate of a job that is only checked, timed in a subprocess.

Timing takes the cores and the memory of a training. In a subprocess it can neither hang nor kill the server, and it
leaves nothing behind: no thread setting, no CUDA context.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from safs.estimates.estimate import Estimate, estimate
from safs.estimates.local_share import Share, cores, local_share
from safs.estimates.stage_costs import Seconds, Slots
from safs.estimates.timing import Timing, Untimed
from safs.events.durations import duration
from safs.preflight import Preflight
from safs.spec.job import JobSpec

BEFORE = Seconds(6.0, 1.0, 15.0)
"""Time before the first stage of a job: little if the runner has kept its workers, more on a busy machine."""


@dataclass(frozen=True, slots=True)
class TimingRequest:
    """The input of the subprocess."""

    spec: JobSpec
    preflight: Preflight
    memory_bytes: int
    """Memory that timing may allocate on CPUs."""


@dataclass(frozen=True, slots=True)
class TimingResponse:
    """The output of the subprocess."""

    timing: Timing | Untimed
    share: Share


REQUEST, RESPONSE = TypeAdapter(TimingRequest), TypeAdapter(TimingResponse)


def estimate_in_subprocess(
    spec: JobSpec, preflight: Preflight, *, limit_s: float, memory_bytes: int | None = None
) -> Estimate:
    """Estimate the cost of the job on this machine with nothing else running on it; never raises.

    If timing fails, takes longer than ``limit_s`` or more than ``memory_bytes``, the estimate has no seconds and holds
    the reason. Most of the time is spent importing torch.

    Args:
        limit_s: seconds that timing may take; 0 turns timing off.
        memory_bytes: memory that timing may allocate on CPUs; None allows half of what is available.
    """
    request = TimingRequest(spec, preflight, memory_bytes or available_bytes() // 2)
    response = _run(request, limit_s) if limit_s else _untimed(request, "timing is turned off here")
    slots = Slots(response.share.at_once, response.share.gpus, timed_alone=True)
    return estimate(spec, preflight, [response.timing], slots, BEFORE)


def available_bytes() -> int:
    """Memory that the machine can still give out, in bytes."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))


def _run(request: TimingRequest, limit_s: float) -> TimingResponse:
    command = [sys.executable, "-P", "-m", "safs.estimates"]  # -P: the working directory may hold a numpy.py
    try:
        body = REQUEST.dump_json(request)
        done = subprocess.run(command, input=body, capture_output=True, timeout=limit_s, check=True)
        return RESPONSE.validate_json(done.stdout)
    except subprocess.TimeoutExpired:
        return _untimed(request, f"timing took longer than {duration(limit_s)}")
    except subprocess.CalledProcessError as error:
        last = error.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return _untimed(request, f"the process that timed ended with {error.returncode}: {last}")
    except OSError as error:
        return _untimed(request, f"no process could be started to time it: {error}")


def _untimed(request: TimingRequest, reason: str) -> TimingResponse:
    size = request.preflight.blueprint.image_size
    return TimingResponse(Untimed(reason), local_share(request.spec.resources, size, cores(), gpus=0))
