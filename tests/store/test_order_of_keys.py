"""The order of the keys in stored JSON, which is the order of the calls of a network's sites, on both databases."""

from store import events, jobs, queue, trial_columns, trials
from store.records import JobState, Lease, TrialOutcome
from store.session import Database

SITES = {"stem.act": "swish", "b.act": "relu", "a.act#2": "tanh", "layer10.act": "elu", "fc": "acon"}
"""Sites in an order that neither the alphabet nor their lengths give."""


def test_a_config_keeps_the_order_of_its_sites(database: Database, lease: Lease) -> None:
    with database.begin() as tx:
        trials.record_started(tx, lease, "activations", 0, config=SITES, epochs=1, seed=0)
        outcome = TrialOutcome(loss=0.1)
        trials.record_done(tx, lease, "activations", 1, config=SITES, epochs=1, seed=0, outcome=outcome)

    with database.read() as tx:
        started = trials.get(tx, lease.job_id, "activations", 0)
        columns = trial_columns.read(tx, lease.job_id)

    assert [*started.config] == [*SITES]
    assert [[*config] for config in columns["config"]] == [[*SITES], [*SITES]]


def test_an_event_keeps_the_order_of_its_sites(database: Database, lease: Lease) -> None:
    with database.begin() as tx:
        events.append(tx, lease, "trial_started", {"candidate": {"config": SITES}})

    with database.read() as tx:
        (event,) = events.page(tx, lease.job_id, after=0, limit=1)

    assert [*event.data["candidate"]["config"]] == [*SITES]


def test_a_result_keeps_the_order_of_its_sites(database: Database, lease: Lease) -> None:
    with database.begin() as tx:
        queue.finish(tx, lease, JobState.SUCCEEDED, result={"winner": {"assignment": SITES}})

    with database.read() as tx:
        result = jobs.get(tx, lease.job_id).result

    assert result is not None
    assert [*result["winner"]["assignment"]] == [*SITES]
