"""Trainings and prunings that benchmarks run to their end, on the CPU."""

from safs.execution.runs import Work, begin
from safs.execution.work import Context, Trained
from safs.networks import Network


def do(work: Work, context: Context) -> Trained:
    """Run the work to its end."""
    run = begin(context, work, "cpu")
    while not run.finished:
        run.advance(60.0)
    return run.trained()


def network_of(trained: Trained) -> Network:
    """The network of a training that did not fail."""
    assert trained.network is not None, trained.outcome.error
    return trained.network
