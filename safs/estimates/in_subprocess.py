"""The estimate of a job that is only checked, timed in a process of its own.

Timing uses the cores and the memory of a training. In a process of its own it can neither hang nor kill a server, and
nothing of it stays behind: no thread setting, no CUDA context.
"""

import subprocess
import sys
from dataclasses import dataclass

from pydantic import TypeAdapter

from safs.estimates.estimate import Estimate, estimate
from safs.estimates.local_share import Share, cores, local_share
from safs.estimates.stage_costs import Slots
from safs.estimates.timing import Timing, Untimed
from safs.events.durations import duration
from safs.preflight import Preflight
from safs.spec.job import JobSpec


@dataclass(frozen=True, slots=True)
class Question:
    """What the process is told."""

    spec: JobSpec
    found: Preflight


@dataclass(frozen=True, slots=True)
class Answer:
    """What it says."""

    timed: Timing | Untimed
    share: Share


QUESTION, ANSWER = TypeAdapter(Question), TypeAdapter(Answer)


def estimate_in_subprocess(spec: JobSpec, found: Preflight, *, limit_s: float) -> Estimate:
    """What the job would take on this machine, with nothing else running on it; never raises.

    Where timing fails or takes longer than ``limit_s``, the estimate has no seconds and says why. Most of the time goes
    into importing torch.

    Args:
        limit_s: 0 times nothing.
    """
    question = Question(spec, found)
    answer = _ask(question, limit_s) if limit_s else _untimed(question, "timing is turned off here")
    slots = Slots(answer.share.at_once, answer.share.gpus, timed_alone=True)
    return estimate(spec, found, [answer.timed], slots)


def _ask(question: Question, limit_s: float) -> Answer:
    command = [sys.executable, "-P", "-m", "safs.estimates"]  # -P: the working directory may hold a numpy.py
    try:
        asked = QUESTION.dump_json(question)
        done = subprocess.run(command, input=asked, capture_output=True, timeout=limit_s, check=True)
        return ANSWER.validate_json(done.stdout)
    except subprocess.TimeoutExpired:
        return _untimed(question, f"timing took longer than {duration(limit_s)}")
    except subprocess.CalledProcessError as error:
        last = error.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return _untimed(question, f"the process that timed ended with {error.returncode}: {last}")
    except OSError as error:
        return _untimed(question, f"no process could be started to time it: {error}")


def _untimed(question: Question, reason: str) -> Answer:
    size = question.found.blueprint.image_size
    return Answer(Untimed(reason), local_share(question.spec.resources, size, cores(), gpus=0))
