"""Executor and memory together: what was made before is taken from memory, the rest is made and kept."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from safs.events.kinds import Event, Note, Stage, TrialDone
from safs.events.stage_log import Ledger, StageRecord
from safs.execution.executor import EARLIER_ATTEMPT, Executor, NamedWork, Plan
from safs.execution.work import Context, Trained
from safs.reuse.cache import Memory
from safs.reuse.files import read_trained, read_trials, write_trained, write_trials
from safs.search import Strategy
from safs.search.conductor import Conductor, window_for
from safs.search.replay import Replayed
from safs.trials import Candidate, Outcome, Trial

MakeStrategy = Callable[[], Strategy]
THIS_JOB = "this job"
"""Two finalists may turn out to be the same training."""


@dataclass(frozen=True, slots=True)
class Keyed:
    """Work under the key of what it makes."""

    key: str
    named: NamedWork


class Workshop:
    """Where a job's trainings and searches are done, none of them twice."""

    def __init__(self, executor: Executor, memory: Memory, ledger: Ledger) -> None:
        self.executor, self._memory, self._ledger = executor, memory, ledger

    @property
    def slots(self) -> int:
        """How many trials are in flight."""
        return self.executor.slots

    def train(self, record: StageRecord, works: Sequence[Keyed], context: Context) -> list[Trained]:
        """The networks that ``works`` make, in the order given; each is kept as soon as it is there.

        What has failed for good in an earlier attempt at this very job is not tried again.
        """
        found = {work.key: trained for work in works if (trained := self._remembered(record, work)) is not None}
        found |= self._failed_before(record, [work for work in works if work.key not in found])
        missing = {work.key: work for work in works if work.key not in found}
        keys = {work.named.candidate.number: key for key, work in missing.items()}

        def keep(named: NamedWork, trained: Trained) -> None:
            if trained.network is not None:
                self._keep(keys[named.candidate.number], record.stage, lambda file: write_trained(trained, file))

        named = [work.named for work in missing.values()]
        made = self.executor.train(record.stage, named, context, self._ledger, keep) if named else []
        found |= dict(zip(missing, made, strict=True))
        for work in works:
            if work.key in missing and work is not missing[work.key]:
                self._ledger(TrialDone(record.stage, work.named.candidate, found[work.key].outcome, THIS_JOB))
        return [found[work.key] for work in works]

    def search(self, record: StageRecord, key: str, make: MakeStrategy, plan: Plan, context: Context) -> list[Trial]:
        """The trials of a search, in the order of their numbers.

        What an earlier attempt at this very job has tried is replayed: the strategy proposes it again, and what was
        found is told without being run.
        """
        if (remembered := self._memory.recall(key)) is not None:
            trials = read_trials(remembered.file)
            for trial in trials:
                self._ledger(TrialDone(record.stage, trial.candidate, trial.outcome, remembered.origin))
            record.recalled.add(remembered.origin)
            return trials
        known = {trial.candidate.number: trial for trial in self._memory.trials(record.stage)}
        strategy = Replayed(make, known)
        conductor = Conductor(strategy, window_for(self.executor.slots, strategy))
        report = _Watching(self._ledger, strategy)
        tried = self.executor.search(record.stage, conductor, plan, context, report, _recall_from(known))
        trials = sorted([*tried, *strategy.adopted], key=lambda trial: trial.candidate.number)
        record.trials[:] = trials
        self._keep(key, record.stage, lambda file: write_trials(trials, file))
        return trials

    def _remembered(self, record: StageRecord, work: Keyed) -> Trained | None:
        if (remembered := self._memory.recall(work.key)) is None:
            return None
        trained = read_trained(remembered.file)
        self._ledger(TrialDone(record.stage, work.named.candidate, trained.outcome, remembered.origin))
        record.recalled.add(remembered.origin)
        return trained

    def _failed_before(self, record: StageRecord, works: Sequence[Keyed]) -> dict[str, Trained]:
        """By the key of what the training was to make."""
        known = {trial.candidate.number: trial for trial in self._memory.trials(record.stage)} if works else {}
        found: dict[str, Trained] = {}
        for work in works:
            candidate = work.named.candidate
            trial = known.get(candidate.number)
            if trial is not None and trial.candidate == candidate and trial.outcome.error is not None:
                found[work.key] = Trained(trial.outcome, None)
                self._ledger(TrialDone(record.stage, candidate, trial.outcome, EARLIER_ATTEMPT))
            elif work.key in found:
                self._ledger(TrialDone(record.stage, candidate, found[work.key].outcome, THIS_JOB))
        return found

    def _keep(self, key: str, stage: Stage, write: Callable[[Path], None]) -> None:
        with TemporaryDirectory(prefix="safs-") as folder:
            file = Path(folder) / "output"
            write(file)
            self._memory.keep(key, stage, file)


class _Watching:
    """A report that tells, at the next event, that the replay of an earlier attempt did not match."""

    def __init__(self, ledger: Ledger, strategy: Replayed) -> None:
        self._ledger, self._strategy = ledger, strategy
        self._told = False

    def __call__(self, event: Event) -> None:
        if not self._told and self._strategy.diverged is not None:
            self._told = True
            self._ledger(
                Note(
                    f"The search could not be resumed exactly: {self._strategy.diverged}. It goes on with what the "
                    "earlier attempt's trials have told it.",
                    "warning",
                )
            )
        self._ledger(event)


def _recall_from(known: Mapping[int, Trial]) -> Callable[[Candidate], Outcome | None]:
    def recall(candidate: Candidate) -> Outcome | None:
        trial = known.get(candidate.number)
        same = trial is not None and replace(trial.candidate, continues=candidate.continues) == candidate
        return trial.outcome if trial is not None and same else None

    return recall
