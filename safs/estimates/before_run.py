"""The estimate of a job that is about to run, timed where it will run."""

from functools import partial

from safs.data import Split
from safs.errors import Interrupted, SafsError
from safs.estimates.estimate import Estimate, estimate
from safs.estimates.stage_costs import Slots
from safs.estimates.timing import Timing, Trainings, Untimed, time_trainings
from safs.events.kinds import Note, Report
from safs.execution.executor import Executor
from safs.networks import Network
from safs.preflight import Preflight
from safs.spec.job import JobSpec

MOST_PROCESSES = 16


def estimate_before_run(spec: JobSpec, found: Preflight, train: Split, executor: Executor, report: Report) -> Estimate:
    """What the job will take on ``executor``, told as a note. Never fails a job; costs it two seconds or less.

    As many processes time at once as will train at once (up to ``MOST_PROCESSES``), since they slow each other down.

    Raises:
        Interrupted: ``report`` ended the run.
    """
    look, network = partial(time_trainings, trainings=Trainings.of(spec, found)), Network(found.blueprint, {})
    processes = min(executor.at_once, MOST_PROCESSES)
    timed: list[Timing | Untimed]
    try:
        timed = executor.examine(look, [network] * processes, train, spec.data.batch_size, report)
    except Interrupted:
        raise
    except SafsError as error:
        timed = [Untimed(error.message)]
    gpus = {one.gpu for one in timed if isinstance(one, Timing) and one.gpu}
    made = estimate(spec, found, timed, Slots(executor.at_once, len(gpus) / processes))
    report(Note(made.summary))
    return made
