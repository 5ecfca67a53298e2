"""Trials and their curves: written by the runner, listed in pages."""

import math

import pytest
from sqlalchemy.exc import IntegrityError

from safs.events.kinds import Stage
from store import jobs, queue, trial_pages, trials
from store.errors import InvalidPageToken, TrialNotFound
from store.records import CurvePoint, Lease, TrialOutcome, TrialState
from store.session import Database, Transaction

CONFIG = {"features.0": "swish", "learning_rate": 1e-3, "batches": 4}
CURVE = (
    CurvePoint(1, 2.3, 2.2, 0.125, 1e-3, 0.5),
    CurvePoint(2, 1.1, 1.0, 0.75, 5e-4, 0.25),
)


def start(tx: Transaction, lease: Lease, stage: str = "tune", number: int = 0) -> None:
    trials.record_started(tx, lease, stage, number, config=CONFIG, epochs=2, seed=2**62)


def end(tx: Transaction, lease: Lease, outcome: TrialOutcome, curve: tuple[CurvePoint, ...] = CURVE) -> None:
    trials.record_done(tx, lease, "tune", 0, config=CONFIG, epochs=2, seed=2**62, outcome=outcome, curve=curve)


def test_started_trial_runs_without_outcome_and_curve(database: Database, lease: Lease) -> None:
    with database.begin() as tx:
        start(tx, lease)

    with database.read() as tx:
        trial, curve = trials.get(tx, lease.job_id, "tune", 0), trials.curve(tx, lease.job_id, "tune", 0)
    assert (trial.state, trial.config, trial.epochs, trial.seed) == (TrialState.RUNNING, CONFIG, 2, 2**62)
    assert (trial.outcome, trial.finished_at, curve) == (None, None, ())


def test_done_trial_has_its_outcome_and_its_curve_in_order(database: Database, lease: Lease) -> None:
    outcome = TrialOutcome(loss=0.25, accuracy=0.75, cross_entropy=1.0, seconds=0.75)
    with database.begin() as tx:
        start(tx, lease)
        end(tx, lease, outcome, CURVE[::-1])

    with database.read() as tx:
        trial, curve = trials.get(tx, lease.job_id, "tune", 0), trials.curve(tx, lease.job_id, "tune", 0)
    assert (trial.state, trial.outcome) == (TrialState.DONE, outcome)
    assert trial.finished_at is not None
    assert trial.finished_at >= trial.started_at
    assert curve == CURVE


def test_trial_that_diverged_has_a_reason_and_no_numbers_that_json_cannot_hold(
    database: Database, lease: Lease
) -> None:
    diverged = TrialOutcome(loss=math.inf, accuracy=math.nan, seconds=0.5, error="the loss is not finite in epoch 1")
    with database.begin() as tx:
        end(tx, lease, diverged, (CurvePoint(1, math.nan, math.inf, 0.1, 1e-3, 0.5),))

    with database.read() as tx:
        trial, curve = trials.get(tx, lease.job_id, "tune", 0), trials.curve(tx, lease.job_id, "tune", 0)
    assert trial.state is TrialState.FAILED
    assert trial.outcome == TrialOutcome(loss=None, seconds=0.5, error="the loss is not finite in epoch 1")
    assert curve == (CurvePoint(1, None, None, 0.1, 1e-3, 0.5),)


def test_writing_a_trial_twice_is_writing_it_once(database: Database, lease: Lease) -> None:
    outcome = TrialOutcome(loss=0.25, accuracy=0.75, cross_entropy=1.0, seconds=0.75)
    for _ in range(2):
        with database.begin() as tx:
            start(tx, lease)
            start(tx, lease)
            end(tx, lease, outcome)
            end(tx, lease, outcome)

    with database.read() as tx:
        (trial,) = trial_pages.list(tx, lease.job_id).items
        assert trial.outcome == outcome
        assert trials.curve(tx, lease.job_id, "tune", 0) == CURVE


def test_trial_begun_again_forgets_what_it_found_before(database: Database, lease: Lease) -> None:
    with database.begin() as tx:
        end(tx, lease, TrialOutcome(loss=0.25, accuracy=0.75))
        start(tx, lease)

    with database.read() as tx:
        trial, curve = trials.get(tx, lease.job_id, "tune", 0), trials.curve(tx, lease.job_id, "tune", 0)
    assert (trial.state, trial.outcome, trial.finished_at, curve) == (TrialState.RUNNING, None, None, ())


def test_finished_trials_are_those_of_the_stage_that_are_done_or_failed_with_their_curves(
    database: Database, lease: Lease
) -> None:
    found = TrialOutcome(
        loss=0.1 + 0.2, accuracy=1 / 3, cross_entropy=5e-324, best_epoch=2, seconds=1e-9, left="predicts class 3"
    )
    broken = TrialOutcome(loss=math.inf, seconds=0.5, error="the loss is not finite in epoch 1")
    with database.begin() as tx:
        for number, outcome, curve in ((3, broken, ()), (1, found, CURVE[::-1])):
            trials.record_done(
                tx, lease, "joint", number, config=CONFIG, epochs=2, seed=number, horizon=9, continues=number - 1,
                outcome=outcome, curve=curve, recalled="job_1",
            )  # fmt: skip
        start(tx, lease, "joint", 2)
        start(tx, lease, "tune", 0)
        end(tx, lease, found)

    with database.read() as tx:
        first, second = trials.finished(tx, lease.job_id, "joint")
        known = [trials.is_finished(tx, lease.job_id, "joint", number) for number in range(5)]
    assert (first.trial.number, first.trial.outcome, first.curve) == (1, found, CURVE)
    assert (first.trial.horizon, first.trial.continues, first.trial.recalled) == (9, 0, "job_1")
    assert (first.trial.config, first.trial.epochs, first.trial.seed) == (CONFIG, 2, 1)
    assert (second.trial.number, second.trial.state, second.curve) == (3, TrialState.FAILED, ())
    assert known == [False, True, False, True, False]


def test_interrupted_trial_is_not_finished_until_it_has_run_again(database: Database, lease: Lease) -> None:
    with database.begin() as tx:
        start(tx, lease)
        queue.renew(tx, lease, -1)
        second = queue.claim(tx, "runner-2", lease_s=60)
        assert second is not None
        before = trials.finished(tx, lease.job_id, "tune")
        end(tx, second.lease, TrialOutcome(loss=0.25, accuracy=0.75))

        (after,) = trials.finished(tx, lease.job_id, "tune")

    assert before == ()
    assert after.trial.outcome == TrialOutcome(loss=0.25, accuracy=0.75)


def test_accuracy_outside_0_and_1_is_refused(database: Database, lease: Lease) -> None:
    with pytest.raises(IntegrityError, match="ck_trials_accuracy"), database.begin() as tx:
        end(tx, lease, TrialOutcome(loss=0.0, accuracy=98.5))


def test_unknown_trial_is_named_in_the_error(database: Database, lease: Lease) -> None:
    with database.read() as tx:
        with pytest.raises(TrialNotFound, match="trial 7 in stage 'tune'"):
            trials.get(tx, lease.job_id, "tune", 7)
        with pytest.raises(TrialNotFound):
            trials.curve(tx, lease.job_id, "tune", 7)


def test_list_keeps_to_the_job_and_to_the_stage_asked_for(database: Database, lease: Lease) -> None:
    with database.begin() as tx:
        queue.submit(tx, {})
        other = queue.claim(tx, "runner-2", lease_s=60)
        assert other is not None
        start(tx, other.lease, "tune", 5)
        start(tx, lease, "tune", 1)
        start(tx, lease, "tune", 0)
        start(tx, lease, "activations", 10)

    with database.read() as tx:
        everything, tune = trial_pages.list(tx, lease.job_id), trial_pages.list(tx, lease.job_id, stage="tune")

    assert [(trial.stage, trial.number) for trial in everything.items] == [
        ("activations", 10),
        ("tune", 0),
        ("tune", 1),
    ]
    assert [trial.number for trial in tune.items] == [0, 1]


def test_pages_are_complete_and_without_duplicates_while_trials_begin(database: Database, lease: Lease) -> None:
    before = [(stage, number) for stage in ("activations", "tune") for number in range(0, 10, 2)]
    with database.begin() as tx:
        for stage, number in before:
            start(tx, lease, stage, number)
    seen: list[tuple[str, int]] = []
    token: str | None = None

    while token is not None or not seen:
        with database.begin() as tx:
            page = trial_pages.list(tx, lease.job_id, limit=3, page_token=token)
            # One falls into what was read already, the other into what is to come, or is there already.
            start(tx, lease, "activations", 1)
            start(tx, lease, "tune", 11)
        seen += [(trial.stage, trial.number) for trial in page.items]
        token = page.next_token

    assert len(set(seen)) == len(seen)
    assert [key for key in seen if key in before] == before


def test_page_token_of_another_list_is_refused(database: Database, lease: Lease) -> None:
    with database.begin() as tx:
        queue.submit(tx, {})
        jobs_token = jobs.list(tx, limit=1).next_token
        assert jobs_token is not None

        with pytest.raises(InvalidPageToken):
            trial_pages.list(tx, lease.job_id, page_token=jobs_token)


def done(tx: Transaction, lease: Lease, stage: str, number: int, accuracy: float | None, **more: float) -> None:
    """A trial with this accuracy; one without an accuracy failed."""
    error = "out of memory" if accuracy is None else None
    outcome = TrialOutcome(None if accuracy is None else 1 - accuracy, accuracy, error=error, **more)
    trials.record_done(tx, lease, stage, number, config=CONFIG, epochs=2, seed=0, outcome=outcome)


def test_trials_are_listed_as_they_ran_stage_by_stage(database: Database, lease: Lease) -> None:
    order = [("dense", 0), ("prune", 0), ("activations", 2), ("activations", 10), ("tune", 0), ("final", 0)]
    with database.begin() as tx:
        for stage, number in sorted(order):
            done(tx, lease, stage, number, 0.5)

    with database.read() as tx:
        found, token = [], None
        while page := trial_pages.list(tx, lease.job_id, limit=2, page_token=token):
            found += [(trial.stage, trial.number) for trial in page.items]
            if (token := page.next_token) is None:
                break
    assert found == order


def test_the_stages_that_the_store_orders_are_the_stages_of_a_job() -> None:
    assert list(Stage) == [*trial_pages.STAGES]


def test_trials_of_one_state_are_listed_alone(database: Database, lease: Lease) -> None:
    with database.begin() as tx:
        done(tx, lease, "tune", 0, 0.5)
        done(tx, lease, "tune", 1, None)
        start(tx, lease, "tune", 2)
        done(tx, lease, "final", 0, None)

    with database.read() as tx:
        failed = trial_pages.list(tx, lease.job_id, state=TrialState.FAILED).items
        tuned = trial_pages.list(tx, lease.job_id, stage="tune", state=TrialState.FAILED).items
    assert [(trial.stage, trial.number) for trial in failed] == [("tune", 1), ("final", 0)]
    assert [(trial.stage, trial.number) for trial in tuned] == [("tune", 1)]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
def test_the_best_trials_come_first_and_those_without_a_loss_last(database: Database, lease: Lease, limit: int) -> None:
    """Equal losses are ordered by cross-entropy, as the search orders them."""
    with database.begin() as tx:
        done(tx, lease, "tune", 0, 0.5, cross_entropy=0.7)
        done(tx, lease, "tune", 1, 1 / 3)
        done(tx, lease, "tune", 2, 0.5, cross_entropy=0.6)
        done(tx, lease, "final", 0, 0.9)
        done(tx, lease, "tune", 3, None)
        start(tx, lease, "tune", 4)
        done(tx, lease, "tune", 5, 0.5, cross_entropy=0.6)

    with database.read() as tx:
        found, token = [], None
        while page := trial_pages.list(tx, lease.job_id, best_first=True, limit=limit, page_token=token):
            found += [(trial.stage, trial.number) for trial in page.items]
            if (token := page.next_token) is None:
                break
    best = [("final", 0), ("tune", 2), ("tune", 5), ("tune", 0), ("tune", 1)]
    assert found == [*best, ("tune", 3), ("tune", 4)]


def test_a_token_of_one_order_is_refused_by_the_other(database: Database, lease: Lease) -> None:
    with database.begin() as tx:
        done(tx, lease, "tune", 0, 0.5)
        done(tx, lease, "tune", 1, 0.5)

    with database.read() as tx:
        token = trial_pages.list(tx, lease.job_id, limit=1).next_token
        with pytest.raises(InvalidPageToken):
            trial_pages.list(tx, lease.job_id, best_first=True, page_token=token)
