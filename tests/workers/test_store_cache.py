"""The cache of stage outputs, trials and winners, on both databases."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from safs.errors import Cancelled
from safs.events.kinds import Stage, TrialDone, TrialStarted
from safs.events.plan import plan_stages
from safs.events.progress import Tracker
from safs.execution.executor import EARLIER_ATTEMPT
from safs.execution.training import Training
from safs.reuse.cache import Cache, CachedOutput, Winner
from safs.spec.job import JobSpec
from safs.spec.training import Recipe
from safs.trials import Candidate, Outcome, Trial
from store import queue
from store.artifacts.stored_files import ArtifactStore
from store.errors import DatabaseUnavailable, LeaseLost
from store.records import JobState, Lease
from store.session import Database, Transaction
from tests.pipeline.jobs import TINY
from tests.workers.leases import take_over
from workers import store_cache as store_cache_module
from workers.recorder import Recorder
from workers.store_cache import StoreCache, stored_winner

RECIPE = Recipe(optimizer="sgd", learning_rate=0.03)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    file = tmp_path / "weights"
    file.write_bytes(b"weights" * 1000)
    return file


def open_cache(database: Database, store: ArtifactStore, lease: Lease) -> Cache:
    return StoreCache(database, store, lease, lambda: None)


def claim(database: Database, spec: dict[str, Any] = TINY, owner: str | None = None) -> Lease:
    """Submit and claim a job; return its lease."""
    with database.begin() as tx:
        queue.submit(tx, spec, owner=owner)
        claimed = queue.claim(tx, "test", 3600)
    assert claimed is not None
    return claimed.lease


def win(database: Database, winner: dict[str, Any]) -> str:
    """Store a job that succeeded with this winner; return its id."""
    lease = claim(database)
    with database.begin() as tx:
        queue.finish(tx, lease, JobState.SUCCEEDED, result={"winner": winner})
    return lease.job_id


def test_an_output_is_found_by_the_same_job_and_by_another_with_its_origin(
    database: Database, lease: Lease, store: ArtifactStore, weights: Path
) -> None:
    open_cache(database, store, lease).put("key", Stage.DENSE, weights)

    own = open_cache(database, store, lease).get("key")
    others = open_cache(database, store, claim(database)).get("key")

    assert own is not None
    assert own.file.read_bytes() == weights.read_bytes()
    assert own.origin == EARLIER_ATTEMPT
    assert others == CachedOutput(own.file, lease.job_id)
    assert open_cache(database, store, lease).get("another key") is None


def test_outputs_and_winners_stay_within_their_owner(database: Database, store: ArtifactStore, weights: Path) -> None:
    def of(owner: str | None) -> Cache:
        return StoreCache(database, store, claim(database, owner=owner), lambda: None, owner)

    winner = {"assignment": {}, "recipe": RECIPE.model_dump(mode="json"), "learnable": True}
    of("ann").put("key", Stage.DENSE, weights)
    won = claim(database, owner="ann")
    with database.begin() as tx:
        queue.finish(tx, won, JobState.SUCCEEDED, result={"winner": winner})

    found = {owner: of(owner) for owner in ("ann", "bob", None)}
    assert {owner: cache.get("key") is not None for owner, cache in found.items()} == {
        "ann": True,
        "bob": False,
        None: False,
    }
    assert {owner: len(cache.winners("lenet5", 3)) for owner, cache in found.items()} == {"ann": 1, "bob": 0, None: 0}


def test_the_first_output_under_a_key_stays(
    database: Database, lease: Lease, store: ArtifactStore, weights: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").write_bytes(b"other")
    open_cache(database, store, lease).put("key", Stage.DENSE, weights)
    later = open_cache(database, store, claim(database))

    later.put("key", Stage.DENSE, tmp_path / "other")

    assert later.get("key") == CachedOutput(store.path(store.put(weights).sha256), lease.job_id)


@pytest.mark.parametrize("harm", ["damaged", "lost"])
def test_an_output_whose_file_is_lost_or_damaged_is_evicted_and_can_be_stored_again(
    sqlite_database: Database, store: ArtifactStore, weights: Path, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    maker, finder = claim(sqlite_database), claim(sqlite_database)
    open_cache(sqlite_database, store, maker).put("key", Stage.DENSE, weights)
    file = store.path(store.put(weights).sha256)
    file.unlink()
    if harm == "damaged":
        file.write_bytes(b"weights!" * 1000)
    cache = open_cache(sqlite_database, store, finder)

    found = cache.get("key")
    cache.put("key", Stage.DENSE, weights)

    assert found is None
    assert "the output of stage dense is made again" in caplog.text
    assert cache.get("key") == CachedOutput(file, EARLIER_ATTEMPT)
    assert file.read_bytes() == weights.read_bytes()


def test_a_runner_without_its_lease_stores_nothing(
    database: Database, lease: Lease, store: ArtifactStore, weights: Path
) -> None:
    take_over(database, lease)

    with pytest.raises(LeaseLost):
        open_cache(database, store, lease).put("key", Stage.DENSE, weights)


def test_trials_are_the_finished_ones_of_this_job_and_stage_by_number(
    database: Database, lease: Lease, store: ArtifactStore
) -> None:
    candidates = [Candidate(number, {"relu1": "swish"}, 1, 7) for number in range(4)]
    outcome = Outcome(0.75, {"accuracy": 0.25, "cross_entropy": 2.2, "epoch": 1.0}, 0.5)
    with Recorder(database, lease, Tracker(plan_stages(JobSpec.model_validate(TINY))), lambda: None) as recorder:
        for number in (2, 0):
            recorder(TrialDone(Stage.ACTIVATIONS, candidates[number], outcome))
        recorder(TrialStarted(Stage.ACTIVATIONS, candidates[1]))
        recorder(TrialDone(Stage.TUNE, candidates[3], outcome))

    assert open_cache(database, store, lease).trials(Stage.ACTIVATIONS) == [
        Trial(candidates[0], outcome),
        Trial(candidates[2], outcome),
    ]
    assert open_cache(database, store, claim(database)).trials(Stage.ACTIVATIONS) == []


def test_winners_of_earlier_jobs_have_all_that_a_search_can_start_from(
    database: Database, store: ArtifactStore
) -> None:
    older = win(database, stored_winner(Training({"relu1": "swish"}, RECIPE, epochs=1, seed=0, learnable=False)))
    newer = win(database, stored_winner(Training({"relu1": "swish"}, RECIPE, epochs=1, seed=0, learnable=True)))
    win(database, {"assignment": {}, "recipe": {"learning_rate": "of another version"}, "learnable": True})

    cache = open_cache(database, store, claim(database))

    found = cache.winners("lenet5", 5)

    assert list(found) == [
        Winner(newer, {"relu1": "swish"}, RECIPE, learnable=True),
        Winner(older, {"relu1": "swish"}, RECIPE, learnable=False),
    ]
    assert cache.winners("vgg16", 5) == []


class Away(Database):
    """A database whose first ``times`` reads fail."""

    def __init__(self, database: Database, times: int) -> None:
        self._database, self._times = database, times

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        self._times -= 1
        if self._times >= 0:
            raise DatabaseUnavailable("the database does not answer")
        with self._database.read() as tx:
            yield tx


def test_reads_are_retried_while_the_database_is_away_until_the_run_must_end(
    sqlite_database: Database, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_cache_module, "RETRY_S", 0.0)
    lease = claim(sqlite_database)

    def cancelled() -> None:
        raise Cancelled("cancelled by the user")

    assert StoreCache(Away(sqlite_database, 2), store, lease, lambda: None).trials(Stage.TUNE) == []
    with pytest.raises(Cancelled):
        StoreCache(Away(sqlite_database, 1), store, lease, cancelled).trials(Stage.TUNE)
