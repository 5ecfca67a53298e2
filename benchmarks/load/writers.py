"""Runners that write as much as real ones: ``python -m benchmarks.load.writers URL RUNNERS SECONDS``.

Each runner claims a job and sends a real ``Recorder`` the events of four trials a second with ten epochs each, until
the time is up. Nothing is trained.
"""

import sys
import time

from benchmarks.load.rows import SPEC
from safs.events.kinds import EpochDone, Stage, StageStarted, TrialDone, TrialStarted
from safs.events.plan import plan_stages
from safs.events.progress import Tracker
from safs.spec.job import JobSpec
from safs.trials import Candidate, EpochMetrics, Outcome
from store import queue
from store.records import Claim, JobState
from store.session import Database
from workers.recorder import Recorder

TRIALS_A_SECOND = 4
EPOCHS = 10
CURVE = tuple(EpochMetrics(epoch, 0.5, 0.4, 0.9, 1e-3, 0.03) for epoch in range(1, EPOCHS + 1))


def write(url: str, runners: int, seconds: float) -> None:
    """Write as ``runners`` in turn; print the number of events and the seconds to write the last of them."""
    database = Database(url)
    claims = [_claim(database) for _ in range(runners)]
    recorders = [
        Recorder(database, claim.lease, Tracker(plan_stages(JobSpec.model_validate(SPEC))), lambda: None)
        for claim in claims
    ]
    began, trial, written = time.monotonic(), 0, 0
    for recorder in recorders:
        recorder.__enter__()
        recorder(StageStarted(Stage.ACTIVATIONS, 100_000, EPOCHS))
    while (elapsed := time.monotonic() - began) < seconds:
        for recorder in recorders:
            written += _trial(recorder, trial)
        trial += 1
        time.sleep(max(trial / TRIALS_A_SECOND - elapsed, 0))
    ended = time.monotonic()
    for recorder, claim in zip(recorders, claims, strict=True):
        recorder.__exit__(None, None, None)
        with database.begin() as tx:
            queue.finish(tx, claim.lease, JobState.CANCELLED)
    database.dispose()
    flush_s = time.monotonic() - ended
    print(f"{written} events by {runners} runners in {ended - began:.0f} s; {flush_s:.1f} s to write the rest")


def _claim(database: Database) -> Claim:
    with database.begin() as tx:
        queue.submit(tx, SPEC, "written while others read", owner="load")
        claim = queue.claim(tx, "benchmark", lease_s=3600)
    assert claim is not None
    return claim


def _trial(recorder: Recorder, number: int) -> int:
    candidate = Candidate(number, {"conv1": "swish"}, EPOCHS, 0)
    recorder(TrialStarted(Stage.ACTIVATIONS, candidate))
    for metrics in CURVE:
        recorder(EpochDone(Stage.ACTIVATIONS, number, metrics))
    outcome = Outcome(0.1, {"accuracy": 0.9, "cross_entropy": 0.4, "epoch": 7}, 0.3, CURVE)
    recorder(TrialDone(Stage.ACTIVATIONS, candidate, outcome))
    return 2 + EPOCHS


if __name__ == "__main__":
    write(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
