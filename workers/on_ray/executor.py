"""The executor on Ray: all trainings and evaluations of a job run on one pool of reused actors."""

from collections.abc import Callable, Iterator, Sequence
from types import TracebackType

import ray

from safs.data import Split
from safs.errors import TrainingError
from safs.events.kinds import Note, Pulse, Report, Stage, TrialDone
from safs.execution.executor import (
    EARLIER_ATTEMPT,
    Measure,
    OnDone,
    Plan,
    Recall,
    Result,
    Task,
)
from safs.execution.work import Context, Trained
from safs.networks import Network
from safs.search.conductor import Conductor
from safs.trials import Trial
from workers.job_spans import origin
from workers.on_ray.ask_ahead import AskAhead
from workers.on_ray.capacity import Share
from workers.on_ray.messages import Answered, Failed
from workers.on_ray.orders import MeasureOrder, TrainOrder
from workers.on_ray.packing import OpenPool, PackedPool
from workers.on_ray.reporting import handle, outcome_of, report_repetition
from workers.on_ray.retrying import PoolMessage, Repeated, RetryingPool
from workers.on_ray.search_orders import SearchOrders
from workers.on_ray.shared_data import ObjectStore
from workers.on_ray.warm_workers import start_pool

POLL_S = 0.02
"""Seconds between two pulses: how soon ``report`` can end the run, and candidates that became ready are submitted."""


class RayExecutor:
    """Runs a job's trainings on the Ray cluster that ``ray.init`` has connected this process to.

    Use it as a context manager: its trainings end with the block, even in the middle of an epoch.

    Args:
        share: the resources of one training, and the number of trainings that run at once.
        open_pool: starts the workers of a share.
        keep: called if the block ends without an error, before the pool is closed. It may take the workers over.
    """

    def __init__(self, share: Share, open_pool: OpenPool = start_pool, keep: Callable[[], None] = lambda: None) -> None:
        self._share, self._open_pool, self._keep = share, open_pool, keep
        self._store = ObjectStore()
        self._pool = self._open()

    def __enter__(self) -> "RayExecutor":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if error is None:
            self._keep()
        self._pool.close()

    @property
    def slots(self) -> int:
        return self._share.slots

    @property
    def at_once(self) -> int:
        return self._share.workers

    def search(
        self, stage: Stage, conductor: Conductor, plan: Plan, context: Context, report: Report, recall: Recall
    ) -> list[Trial]:
        orders = SearchOrders(stage, plan, self._store.share(context), self._share, self._pool, report)
        with AskAhead(conductor) as asks:
            while not asks.finished:
                while (candidate := asks.next()) is not None:
                    if (outcome := recall(candidate)) is not None:
                        asks.done(candidate.number, outcome)
                        orders.trials.append(Trial(candidate, outcome))
                        report(TrialDone(stage, candidate, outcome, EARLIER_ATTEMPT))
                    else:
                        orders.add(candidate)
                if asks.waits:
                    orders.submit_rest()
                for message in self._messages(report):
                    for trial in orders.handle(message):
                        asks.done(trial.candidate.number, trial.outcome)
                        report(TrialDone(stage, trial.candidate, trial.outcome))
        return sorted(orders.trials, key=lambda trial: trial.candidate.number)

    def train(
        self, stage: Stage, tasks: Sequence[Task], context: Context, report: Report, on_done: OnDone
    ) -> list[Trained]:
        shared = self._store.share(context)
        running = {
            self._pool.submit(TrainOrder(shared, task.work, keep=True, origin=origin(stage, task.candidate))): task
            for task in tasks
        }
        results: dict[int, Trained] = {}
        while len(results) < len(running):
            for message in self._messages(report):
                candidate = running[message.ticket].candidate
                trained = handle(stage, (candidate,), message, report, lambda why: Trained(outcome_of(why), None))
                if isinstance(trained, Trained):
                    results[message.ticket] = trained
                    on_done(running[message.ticket], trained)
                    report(TrialDone(stage, candidate, trained.outcome))
        return [results[ticket] for ticket in running]

    def measure(
        self, function: Measure[Result], networks: Sequence[Network], split: Split, batch_size: int, report: Report
    ) -> list[Result]:
        shared = self._store.share_split(split)
        tickets = [
            self._pool.submit(MeasureOrder(function, ray.put(network), shared, batch_size)) for network in networks
        ]
        found: dict[int, Result] = {}
        failures: list[str] = []
        while len(found) + len(failures) < len(tickets):  # After an error too: a later stage knows no other's orders.
            for message in self._messages(report):
                match message:
                    case Answered(ticket, answer):
                        found[ticket] = answer
                    case Failed(_, reason, _, _):
                        failures.append(reason)
                    case Repeated():
                        report_repetition(None, None, message, report)
                    case _:
                        pass
        if failures:
            raise TrainingError(f"a network could not be evaluated, because its process failed: {failures[0]}")
        return [found[ticket] for ticket in tickets]

    def _open(self) -> RetryingPool:
        return RetryingPool(PackedPool(self._share, self._open_pool))

    def _messages(self, report: Report) -> Iterator[PoolMessage]:
        report(Pulse())
        yield from self._pool.receive(POLL_S)
        for note in self._pool.take_notes():
            report(Note(note, "warning"))
