"""Executor and memory together: what was made before is taken from memory, the rest is made and kept."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from safs.data import Split
from safs.events.kinds import Event, Note, Stage, TrialDone
from safs.events.stage_log import StageLog, StageRecord
from safs.execution.executor import EARLIER_ATTEMPT, Executor, Found, Look, NamedWork, Plan
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
"""Two finalists may turn out to be the same training."""


@dataclass(frozen=True, slots=True)
class KeyedWork:
    """Work under the key of what it makes."""

    key: str
    named: NamedWork


class CachedExecutor:
    """Where a job's trainings and searches are done, none of them twice."""

    def __init__(self, executor: Executor, cache: Cache, stage_log: StageLog) -> None:
        self._executor, self._cache, self._stage_log = executor, cache, stage_log

    @property
    def slots(self) -> int:
        """How many trials are in flight."""
        return self._executor.slots

    def train(self, record: StageRecord, works: Sequence[KeyedWork], context: Context) -> list[Trained]:
        """The networks that ``works`` make, in the order given; each is kept as soon as it is there.

        What has failed for good in an earlier attempt at this very job is not tried again.
        """
        found = {work.key: trained for work in works if (trained := self._cached(record, work)) is not None}
        found |= self._failed_before(record, [work for work in works if work.key not in found])
        missing = {work.key: work for work in works if work.key not in found}
        keys = {work.named.candidate.number: key for key, work in missing.items()}

        def keep(named: NamedWork, trained: Trained) -> None:
            if trained.network is not None:
                self._keep(keys[named.candidate.number], record.stage, lambda file: write_trained(trained, file))

        named = [work.named for work in missing.values()]
        made = self._executor.train(record.stage, named, context, self._stage_log, keep) if named else []
        found |= dict(zip(missing, made, strict=True))
        for work in works:
            if work.key in missing and work is not missing[work.key]:
                self._stage_log(TrialDone(record.stage, work.named.candidate, found[work.key].outcome, THIS_JOB))
        return [found[work.key] for work in works]

    def search(self, record: StageRecord, key: str, make: MakeStrategy, plan: Plan, context: Context) -> list[Trial]:
        """The trials of a search, in the order of their numbers.

        What an earlier attempt at this very job has tried is replayed: the strategy proposes it again, and what was
        found is told without being run.
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
        report = _Watching(self._stage_log, strategy)
        tried = self._executor.search(record.stage, conductor, plan, context, report, _recall_from(known))
        trials = sorted([*tried, *strategy.adopted], key=lambda trial: trial.candidate.number)
        record.trials[:] = trials
        self._keep(key, record.stage, lambda file: write_trials(trials, file))
        return trials

    def examine(self, look: Look[Found], networks: Sequence[Network], split: Split, batch_size: int) -> list[Found]:
        """The result of ``look`` for each network on ``split``, in the order given. Nothing of it is cached."""
        return self._executor.examine(look, networks, split, batch_size, self._stage_log)

    def _cached(self, record: StageRecord, work: KeyedWork) -> Trained | None:
        if (cached := self._cache.get(work.key)) is None:
            return None
        trained = read_trained(cached.file)
        self._stage_log(TrialDone(record.stage, work.named.candidate, trained.outcome, cached.origin))
        record.recalled.add(cached.origin)
        return trained

    def _failed_before(self, record: StageRecord, works: Sequence[KeyedWork]) -> dict[str, Trained]:
        """By the key of what the training was to make."""
        known = {trial.candidate.number: trial for trial in self._cache.trials(record.stage)} if works else {}
        found: dict[str, Trained] = {}
        for work in works:
            candidate = work.named.candidate
            trial = known.get(candidate.number)
            if trial is not None and trial.candidate == candidate and trial.outcome.error is not None:
                found[work.key] = Trained(trial.outcome, None)
                self._stage_log(TrialDone(record.stage, candidate, trial.outcome, EARLIER_ATTEMPT))
            elif work.key in found:
                self._stage_log(TrialDone(record.stage, candidate, found[work.key].outcome, THIS_JOB))
        return found

    def _keep(self, key: str, stage: Stage, write: Callable[[Path], None]) -> None:
        with TemporaryDirectory(prefix="safs-") as folder:
            file = Path(folder) / "output"
            write(file)
            self._cache.put(key, stage, file)


class _Watching:
    """A report that tells, at the next event, that the replay of an earlier attempt did not match."""

    def __init__(self, stage_log: StageLog, strategy: Replayed) -> None:
        self._stage_log, self._strategy = stage_log, strategy
        self._told = False

    def __call__(self, event: Event) -> None:
        if not self._told and self._strategy.diverged is not None:
            self._told = True
            self._stage_log(
                Note(
                    f"The search could not be resumed exactly: {self._strategy.diverged}. It goes on with what the "
                    "earlier attempt's trials have told it.",
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
