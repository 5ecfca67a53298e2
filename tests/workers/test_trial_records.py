"""Outcomes come back from the database the same to the last bit, since a replayed search would diverge otherwise."""

from math import inf, nextafter

import pytest

from safs.events.kinds import Stage, TrialDone
from safs.events.plan import plan_stages
from safs.events.progress import Tracker
from safs.spec.job import JobSpec
from safs.trials import Candidate, EpochMetrics, Outcome, Trial
from store import trials
from store.records import Lease
from store.session import Database
from tests.pipeline.jobs import TINY
from workers.recorder import Recorder
from workers.trial_records import restored_trial

THIRD, TENTH = 1 / 3, 0.1 + 0.2 - 0.2
CURVE = (
    EpochMetrics(1, nextafter(2.3, 3), 5e-324, THIRD, 1e-5, 1.7976931348623157e308),
    EpochMetrics(2, TENTH, 1e-17, nextafter(1.0, 0), 2.5e-4, 0.1),
)
OUTCOMES = {
    "done": Outcome(1 - THIRD, {"accuracy": THIRD, "cross_entropy": 5e-324, "epoch": 1.0}, TENTH, CURVE),
    "broke down": Outcome(inf, {}, 0.5, CURVE[:1], "the loss is not finite in epoch 2"),
    "never began": Outcome(inf, error="the trial's process failed: its worker was lost"),
    "left early": Outcome(0.9, {"accuracy": 0.1, "cross_entropy": 2.3, "epoch": 2.0}, 1.5, CURVE, left="one class"),
}
CANDIDATES = {
    "operators": Candidate(0, {"features.10": "swish", "features.2": "relu"}, 2, 2**31 - 1),
    "hyperparameters": Candidate(7, {"learning_rate": TENTH * 1e-9, "batches": 4, "optimizer": "adam"}, 2, 0, 81, 3),
}


@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES)
@pytest.mark.parametrize("candidate", CANDIDATES.values(), ids=CANDIDATES)
def test_a_trial_is_restored_bit_for_bit(
    database: Database, lease: Lease, candidate: Candidate, outcome: Outcome
) -> None:
    tracker = Tracker(plan_stages(JobSpec.model_validate(TINY)))
    with Recorder(database, lease, tracker, lambda: None) as recorder:
        recorder(TrialDone(Stage.ACTIVATIONS, candidate, outcome))

    with database.read() as tx:
        (finished,) = trials.finished(tx, lease.job_id, "activations")
    assert restored_trial(finished) == Trial(candidate, outcome)
