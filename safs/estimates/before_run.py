"""The estimate of a job that is about to run, timed on the executor that will run it."""

import time
from functools import partial

from safs.data import Split
from safs.errors import Interrupted, SafsError
from safs.estimates.estimate import Estimate, estimate
from safs.estimates.stage_costs import Seconds, Slots
from safs.estimates.timing import Timing, Trainings, Untimed, time_trainings
from safs.events.kinds import Note, Report
from safs.execution.executor import Executor
from safs.networks import Network
from safs.preflight import Preflight
from safs.spec.job import JobSpec

MOST_PROCESSES = 16
"""Trainings that are timed at once, at most."""


def estimate_before_run(
    spec: JobSpec, preflight: Preflight, train: Split, executor: Executor, report: Report, began_s: float
) -> Estimate:
    """Estimate the cost of the job on ``executor`` and report it as a note. Takes two seconds or less.

    Up to ``MOST_PROCESSES`` trainings are timed at once, as many as will run at once, since they slow each other down.
    If timing fails, the estimate has no seconds; the job goes on.

    Args:
        began_s: ``time.monotonic()`` when the job was claimed.

    Raises:
        Interrupted: ``report`` ended the run.
    """
    look, network = partial(time_trainings, trainings=Trainings.of(spec, preflight)), Network(preflight.blueprint, {})
    processes = min(executor.at_once, MOST_PROCESSES)
    timings: list[Timing | Untimed]
    try:
        timings = executor.measure(look, [network] * processes, train, spec.data.batch_size, report)
    except Interrupted:
        raise
    except SafsError as error:
        timings = [Untimed(error.message)]
    gpus = {timing.gpu for timing in timings if isinstance(timing, Timing) and timing.gpu}
    slots, spent_s = Slots(executor.at_once, len(gpus) / processes), time.monotonic() - began_s
    result = estimate(spec, preflight, timings, slots, Seconds(spent_s, spent_s, spent_s))
    report(Note(result.summary))
    return result
