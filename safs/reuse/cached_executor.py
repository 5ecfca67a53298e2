"""An executor behind a cache: cached outputs are read, the others are made and stored."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from safs.data import Split
from safs.events.kinds import Event, Note, Stage, TrialDone
from safs.events.stage_log import StageLog, StageRecord
from safs.execution.executor import EARLIER_ATTEMPT, Executor, Measure, Plan, Result, Task
from safs.execution.work import Context, Trained
from safs.networks import Network
from safs.reuse.cache import Cache
from safs.reuse.files import read_trained, read_trials, write_trained, write_trials
from safs.search import Strategy
from safs.search.conductor import Conductor, window_for
from safs.search.replay import Replayed
from safs.trials import Candidate, Outcome, Trial

MakeStrategy = Callable[[], Strategy]
THIS_JOB = "this job"
"""Origin of a result that another training of the same job made: two finalists can be the same training."""


@dataclass(frozen=True, slots=True)
class KeyedWork:
    """A training or pruning, and the cache key of its output."""

    key: str
    task: Task


class CachedExecutor:
    """Run a job's trainings and searches, each at most once."""

    def __init__(self, executor: Executor, cache: Cache, stage_log: StageLog) -> None:
        self._executor, self._cache, self._stage_log = executor, cache, stage_log

    @property
    def slots(self) -> int:
        """Number of trials in flight."""
        return self._executor.slots

    def train(self, record: StageRecord, works: Sequence[KeyedWork], context: Context) -> list[Trained]:
        """Return the results of ``works``, in their order. Each result is cached as soon as it is complete.

        A training that an earlier attempt at this job ran, and that failed for good, is not run again.
        """
        results = {work.key: trained for work in works if (trained := self._cached(record, work)) is not None}
        results |= self._failed_before(record, [work for work in works if work.key not in results])
        missing = {work.key: work for work in works if work.key not in results}
        keys = {work.task.candidate.number: key for key, work in missing.items()}

        def store(named: Task, trained: Trained) -> None:
            if trained.network is not None:
                self._store(keys[named.candidate.number], record.stage, lambda file: write_trained(trained, file))

        named = [work.task for work in missing.values()]
        new = self._executor.train(record.stage, named, context, self._stage_log, store) if named else []
        results |= dict(zip(missing, new, strict=True))
        for work in works:
            if work.key in missing and work is not missing[work.key]:
                self._stage_log(TrialDone(record.stage, work.task.candidate, results[work.key].outcome, THIS_JOB))
        return [results[work.key] for work in works]

    def search(self, record: StageRecord, key: str, make: MakeStrategy, plan: Plan, context: Context) -> list[Trial]:
        """Return the trials of a search, by number.

        Trials of an earlier attempt at this job are replayed: the strategy proposes them again, and receives their
        recorded outcomes without a training.

        Args:
            key: cache key of the whole search.
            make: makes the strategy; always the same one.
        """
        if (cached := self._cache.get(key)) is not None:
            trials = read_trials(cached.file)
            for trial in trials:
                self._stage_log(TrialDone(record.stage, trial.candidate, trial.outcome, cached.origin))
            record.recalled.add(cached.origin)
            return trials
        known = {trial.candidate.number: trial for trial in self._cache.trials(record.stage)}
        strategy = Replayed(make, known)
        conductor = Conductor(strategy, window_for(self._executor.slots, strategy))
        report = _DivergenceReport(self._stage_log, strategy)
        run = self._executor.search(record.stage, conductor, plan, context, report, _recall_from(known))
        trials = sorted([*run, *strategy.adopted], key=lambda trial: trial.candidate.number)
        record.trials[:] = trials
        self._store(key, record.stage, lambda file: write_trials(trials, file))
        return trials

    def measure(
        self, function: Measure[Result], networks: Sequence[Network], split: Split, batch_size: int
    ) -> list[Result]:
        """Return the result of ``function`` for each network on ``split``, in their order. It is not cached."""
        return self._executor.measure(function, networks, split, batch_size, self._stage_log)

    def _cached(self, record: StageRecord, work: KeyedWork) -> Trained | None:
        if (cached := self._cache.get(work.key)) is None:
            return None
        trained = read_trained(cached.file)
        self._stage_log(TrialDone(record.stage, work.task.candidate, trained.outcome, cached.origin))
        record.recalled.add(cached.origin)
        return trained

    def _failed_before(self, record: StageRecord, works: Sequence[KeyedWork]) -> dict[str, Trained]:
        """Key -> result, for works that failed in an earlier attempt."""
        known = {trial.candidate.number: trial for trial in self._cache.trials(record.stage)} if works else {}
        failed: dict[str, Trained] = {}
        for work in works:
            candidate = work.task.candidate
            trial = known.get(candidate.number)
            if trial is not None and trial.candidate == candidate and trial.outcome.error is not None:
                failed[work.key] = Trained(trial.outcome, None)
                self._stage_log(TrialDone(record.stage, candidate, trial.outcome, EARLIER_ATTEMPT))
            elif work.key in failed:
                self._stage_log(TrialDone(record.stage, candidate, failed[work.key].outcome, THIS_JOB))
        return failed

    def _store(self, key: str, stage: Stage, write: Callable[[Path], None]) -> None:
        with TemporaryDirectory(prefix="safs-") as folder:
            file = Path(folder) / "output"
            write(file)
            self._cache.put(key, stage, file)


class _DivergenceReport:
    """A report that adds a warning, once, when the replay of an earlier attempt's search has diverged."""

    def __init__(self, stage_log: StageLog, strategy: Replayed) -> None:
        self._stage_log, self._strategy = stage_log, strategy
        self._warned = False

    def __call__(self, event: Event) -> None:
        if not self._warned and self._strategy.diverged is not None:
            self._warned = True
            self._stage_log(
                Note(
                    f"The search could not be resumed exactly: {self._strategy.diverged}. It continues from the "
                    "trials of the earlier attempt.",
                    "warning",
                )
            )
        self._stage_log(event)


def _recall_from(known: Mapping[int, Trial]) -> Callable[[Candidate], Outcome | None]:
    def recall(candidate: Candidate) -> Outcome | None:
        trial = known.get(candidate.number)
        same = trial is not None and replace(trial.candidate, continues=candidate.continues) == candidate
        return trial.outcome if trial is not None and same else None

    return recall
