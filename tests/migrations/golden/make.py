"""Writes the golden database of this release: ``python -m tests.migrations.golden.make``.

It is a backup, as ``safs backup`` makes them, of a service with something in every table: a folder named by the
schema's revision, with ``facts.json`` that says what the tests look for. Once a release is out, its folder is never
written again; see the README.
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from safetensors.numpy import save

from migrations import head_revision, upgrade
from safs.events.kinds import Stage, StageStarted, event_data, event_kind
from safs.events.plan import plan_stages
from safs.events.progress import Tracker
from safs.spec.job import JobSpec
from store import (
    api_keys,
    attempts,
    counters,
    ended_sessions,
    events,
    idempotency,
    incoming,
    outputs,
    queue,
    trials,
    uploads,
)
from store.api_keys import Scope
from store.artifacts import stored_files
from store.artifacts.stored_files import ArtifactStore
from store.clock import now
from store.records import Claim, CurvePoint, JobError, JobState, StoredArtifact, TrialOutcome
from store.session import Database, Transaction
from store.tables import chores
from store.upkeep.archive import create_archive
from store.upkeep.backup import back_up

HERE = Path(__file__).parent
SPEC = {"model": {"architecture": "lenet5"}, "data": {"dataset": "digits"}, "sparsity": 0.95}
OWNER = "vision-team"
BEGUN = StageStarted(Stage.TUNE, trials=3, epochs=2)


def main() -> None:
    """Makes the folder of the newest revision. It is an error if the folder exists."""
    revision = head_revision()
    with TemporaryDirectory() as home, create_archive(HERE / revision) as archive:
        url = f"sqlite:///{home}/safs.db"
        upgrade(url)
        database, store = Database(url), ArtifactStore(Path(home) / "artifacts")
        facts = Path(home) / "facts.json"
        facts.write_text(json.dumps(fill(database, store, Path(home)), indent=1) + "\n")
        back_up(database, store, archive, revision=revision, progress=lambda done, of: None)
        archive.add("facts.json", facts)
        database.dispose()
    sys.stdout.write(f"{HERE / revision}\n")


def fill(database: Database, store: ArtifactStore, folder: Path) -> dict[str, str]:
    """Fills every table; returns the facts that the tests cannot learn from the rows."""
    weights = _put(store, folder, save({"conv1.weight": np.linspace(-1, 1, 150, dtype=np.float32).reshape(6, 1, 5, 5)}))
    with database.begin() as tx:
        _, token = api_keys.create(tx, OWNER, [Scope.SUBMIT, Scope.READ])
        revoked, _ = api_keys.create(tx, OWNER, [Scope.ADMIN], lives_s=3600)
        api_keys.revoke(tx, revoked.prefix)
        ended_sessions.end(tx, "0" * 32, lives_s=3600)
        upload = uploads.create(tx, weights, "dense.safetensors", tensors=1, owner=OWNER)
        begun = incoming.begin(tx, "photos.zip", 2_000_000, OWNER)
        incoming.add_part(tx, begun.id, 1, weights)
        counters.add(tx, {"trial_count": 40, "trial_seconds": 120.5, counters.LEASE_LOSSES: 1})
        tx.execute(chores.insert().values(name="collect", ran_at=now()))
    _succeed(database, store, folder, weights)
    _fail(database)
    _leave_running(database, "running", cancelling=False)
    _leave_running(database, "cancelling", cancelling=True)
    with database.begin() as tx:
        queue.request_cancel(tx, _submit(tx, "cancelled"))
        queued = _submit(tx, "queued")
        request = idempotency.Request(OWNER, "golden-1", "0" * 64)
        idempotency.save(tx, request, idempotency.Answer(queued, json.dumps({"id": queued})))
    return {"token": token, "upload": upload.id, "checkpoint": weights.sha256}


def _succeed(database: Database, store: ArtifactStore, folder: Path, weights: StoredArtifact) -> None:
    claim = _claimed(database, "succeeded")
    others = {name: _put(store, folder, f"{name} of a job".encode()) for name in ("config", "report", "picture")}
    _run_trials(database, claim, "tune", 3)
    with database.begin() as tx:
        outputs.save(tx, claim.lease, "0" * 64, "dense", weights)
        attempts.note_reuse(tx, claim.lease, "prune", claim.job.id)
        for name, artifact in {"checkpoint": weights, **others}.items():
            stored_files.attach(tx, claim.lease, name, artifact, "application/octet-stream")
        queue.finish(tx, claim.lease, JobState.SUCCEEDED, result={"test_accuracy": 0.93, "live_weights": 3074})


def _fail(database: Database) -> None:
    claim = _claimed(database, "failed")
    with database.begin() as tx:
        error = JobError("data_unavailable", "there is no 'gone.npz' under the data root", "dense")
        queue.finish(tx, claim.lease, JobState.FAILED, error=error)


def _leave_running(database: Database, name: str, *, cancelling: bool) -> None:
    claim = _claimed(database, name)
    _run_trials(database, claim, "activations", 1)
    with database.begin() as tx:
        config = {"conv1": "swish"}
        trials.record_started(tx, claim.lease, "activations", 1, config=config, epochs=4, seed=2, horizon=8)
        if cancelling:
            queue.request_cancel(tx, claim.job.id)


def _claimed(database: Database, name: str) -> Claim:
    """A claimed job with a stage and events; its lease has expired by the time of the tests."""
    with database.begin() as tx:
        _submit(tx, name)
        claim = queue.claim(tx, "golden:1", lease_s=60)
        assert claim is not None
        attempts.pin_program(tx, claim.lease, "golden")
        attempts.pin_in_flight(tx, claim.lease, 2)
        attempts.pin_gpus(tx, claim.lease, 0.25)
        attempts.begin_batch(tx, claim.lease, 1)
        progress = Tracker(plan_stages(JobSpec.model_validate(SPEC)), started_s=0.0).update(BEGUN, 1.0)
        attempts.set_stage(tx, claim.lease, BEGUN.stage.value, progress.as_json())
        events.append(tx, claim.lease, "note", {"message": "begun", "level": "info"})
        events.append(tx, claim.lease, event_kind(BEGUN), event_data(BEGUN))
    return claim


def _run_trials(database: Database, claim: Claim, stage: str, count: int) -> None:
    for number in range(count):
        curve = [CurvePoint(epoch, 0.5 / epoch, 0.4, 0.8, 1e-3, 0.1) for epoch in (1, 2)]
        outcome = TrialOutcome(loss=0.2, accuracy=0.8, cross_entropy=0.4, best_epoch=2, seconds=0.25)
        if number == 2:
            outcome, curve = TrialOutcome(loss=None, seconds=0.25, error="the loss is not finite"), []
        config = {"conv1": "swish", "learning_rate": 0.01}
        with database.begin() as tx:
            trials.record_done(
                tx, claim.lease, stage, number, config=config, epochs=2, seed=7, outcome=outcome, curve=curve
            )


def _submit(tx: Transaction, name: str) -> str:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    return queue.submit(
        tx, JobSpec.model_validate(SPEC).model_dump(mode="json"), name, owner=OWNER, traceparent=trace
    ).id


def _put(store: ArtifactStore, folder: Path, content: bytes) -> StoredArtifact:
    file = folder / "content"
    file.write_bytes(content)
    return store.put(file)


if __name__ == "__main__":
    main()
