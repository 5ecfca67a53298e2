"""The orders of a search: one for each candidate, or one for a stack of candidates."""

from collections.abc import Iterator
from typing import Any

import ray

from safs.events.kinds import Note, Report, Stage
from safs.execution.executor import Plan
from safs.execution.snapshot_cache import SnapshotCache
from safs.execution.training import Training
from safs.trials import Candidate, Outcome, Trial
from workers.job_spans import origin
from workers.on_ray.capacity import Share
from workers.on_ray.orders import StackAnswer, StackOrder, TrainOrder, Unfinished
from workers.on_ray.reporting import handle, outcome_of
from workers.on_ray.retrying import PoolMessage, RetryingPool
from workers.on_ray.shared_data import SharedContext


class SearchOrders:
    """Submits the candidates of a search, and collects their trials.

    With ``share.stack`` above 1, consecutive candidates form a stack. Which ones does not depend on the speed of the
    trials, since a smaller stack is submitted only while no order runs.
    """

    def __init__(
        self, stage: Stage, plan: Plan, shared: SharedContext, share: Share, pool: RetryingPool, report: Report
    ) -> None:
        self._stage, self._plan, self._shared, self._share = stage, plan, shared, share
        self._pool, self._report = pool, report
        self._pending: list[Candidate] = []
        self._running: dict[int, tuple[TrainOrder | StackOrder, tuple[Candidate, ...]]] = {}
        self._snapshots: SnapshotCache[ray.ObjectRef[Any]] = SnapshotCache()
        self._explained: set[str] = set()
        self.trials: list[Trial] = []
        """Trials that have ended, in the order of their ends."""

    def add(self, candidate: Candidate) -> None:
        """Submit the candidate, or with others once a stack is complete."""
        self._pending.append(candidate)
        if len(self._pending) == self._share.stack:
            self._submit()

    def submit_rest(self) -> None:
        """Submit a smaller stack if nothing runs. To be called when no candidate comes before further outcomes."""
        if self._pending and not self._running:
            self._submit()

    def handle(self, message: PoolMessage) -> Iterator[Trial]:
        """Report the message; yield the trials that ended with it."""
        order, candidates = self._running[message.ticket]
        answer = handle(self._stage, candidates, message, self._report, outcome_of)
        if answer is None:
            return
        del self._running[message.ticket]
        if isinstance(order, TrainOrder):
            yield self._ended(candidates[0], answer)
        elif isinstance(answer, StackAnswer):
            self._explain(answer)
            for candidate, one in zip(candidates, answer.outcomes, strict=True):
                yield self._ended(candidate, one)
        else:  # The stack failed for good, perhaps because of one of its trainings.
            for candidate, single in zip(candidates, order.singles(), strict=True):
                self._run(single, (candidate,))

    def _submit(self) -> None:
        candidates, self._pending = tuple(self._pending), []
        works = [self._plan(candidate) for candidate in candidates]
        resume = [self._snapshots.take(candidate) for candidate in candidates]
        origins = [origin(self._stage, candidate) for candidate in candidates]
        trainings = tuple(work for work in works if isinstance(work, Training))
        stacked = len(works) > 1 or self._share.cuda_graph
        if stacked and len(trainings) == len(works):
            order = StackOrder(self._shared, trainings, tuple(resume), tuple(origins), self._share.cuda_graph)
            self._run(order, candidates)
            return
        for candidate, work, saved, parent in zip(candidates, works, resume, origins, strict=True):
            self._run(TrainOrder(self._shared, work, False, saved, parent), (candidate,))

    def _run(self, order: TrainOrder | StackOrder, candidates: tuple[Candidate, ...]) -> None:
        self._running[self._pool.submit(order)] = order, candidates

    def _ended(self, candidate: Candidate, answer: Any) -> Trial:
        outcome = answer.outcome if isinstance(answer, Unfinished) else answer
        assert isinstance(outcome, Outcome)
        trial = Trial(candidate, outcome)
        if isinstance(answer, Unfinished):  # Before the strategy is told, which may continue the trial at once.
            self._snapshots.put(trial, answer.snapshot, answer.size_bytes)
        self.trials.append(trial)
        return trial

    def _explain(self, answer: StackAnswer) -> None:
        for what, reason in (("trained as one", answer.reason), ("recorded as CUDA graphs", answer.not_recorded)):
            if reason is not None and what not in self._explained:
                self._explained.add(what)
                self._report(Note(f"The trials of {self._stage} are not {what}: {reason}", "warning"))
