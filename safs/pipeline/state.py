"""Values that all stages of a running job share and none changes."""

from dataclasses import dataclass

from safs.data import Splits
from safs.estimates import Estimate
from safs.events.stage_log import StageLog
from safs.execution.work import Context
from safs.networks import Network
from safs.pipeline.spaces import Spaces
from safs.preflight import Preflight
from safs.reuse.cache import Cache
from safs.reuse.cached_executor import CachedExecutor
from safs.spec.job import JobSpec
from safs.spec.training import Recipe, TrainSpec
from safs.trials import Outcome


@dataclass(frozen=True, slots=True)
class JobContext:
    """A running job."""

    spec: JobSpec
    preflight: Preflight
    splits: Splits
    spaces: Spaces
    stage_log: StageLog
    cache: Cache
    executor: CachedExecutor
    data_key: str
    """Cache key of the training and the validation split."""
    estimate: Estimate
    """Estimated cost of the job if nothing is reused."""
    before_s: float
    """Seconds from the claim of the job to its first stage."""

    @property
    def batches(self) -> dict[str, int | str]:
        """Batch size and augmentation, as a part of cache keys."""
        return {"size": self.spec.data.batch_size, "augment": self.spec.data.augment}

    @property
    def precise_batches(self) -> dict[str, int | str]:
        """``batches`` and the number format, as a part of the cache keys of all trainings but the final ones."""
        return {**self.batches, "precision": self.spec.resources.precision}


@dataclass(frozen=True, slots=True)
class KeyedNetwork:
    """A network and its cache key."""

    network: Network
    key: str


@dataclass(frozen=True, slots=True)
class PrunedStart:
    """The context of all trainings after pruning, and the cache key of the pruned network that they start from."""

    context: Context
    key: str


def recipe_of(train: TrainSpec) -> Recipe:
    """The default protocol's recipe."""
    return Recipe(**train.model_dump(exclude={"epochs"}))


def with_advice(outcome: Outcome) -> str:
    """The error of a training, with the way out if it follows from the error."""
    error = (outcome.error or "").rstrip(".")
    if outcome.diverged:
        return f"{error}. Try a lower train.learning_rate."
    if outcome.out_of_memory:
        return f"{error}. Try a lower data.batch_size or data.image_size, or fewer resources.trials_in_parallel."
    return f"{error}."
