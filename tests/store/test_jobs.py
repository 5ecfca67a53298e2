"""Filters and orders of the list of jobs, on both kinds of databases."""

from typing import Any

import pytest

from store import jobs, queue
from store.errors import InvalidPageToken
from store.job_orders import JobOrder
from store.records import JobError, JobState
from store.session import Database


@pytest.fixture
def names(database: Database) -> dict[str, str]:
    """Job id -> name of five jobs, oldest first."""
    wanted = [
        ("Alpha", "lenet5"),
        ("alphabet", "resnet18"),
        ("100% sure", "torchvision/resnet50"),
        ("under_score", "lenet5"),
        (None, "LeNet5"),
    ]
    with database.begin() as tx:
        created = [queue.submit(tx, {"model": {"architecture": network}}, name) for name, network in wanted]
    return {job.id: job.name or "" for job in created}


def found(database: Database, names: dict[str, str], **filters: Any) -> list[str]:
    with database.read() as tx:
        return [names[job.id] for job in jobs.list(tx, **filters).items]


def test_jobs_are_found_by_a_part_of_their_name(database: Database, names: dict[str, str]) -> None:
    assert found(database, names, text="ALPHA") == ["alphabet", "Alpha"]
    assert found(database, names, text="0%") == ["100% sure"]
    assert found(database, names, text="r_s") == ["under_score"]
    assert found(database, names, text="%") == ["100% sure"]
    assert found(database, names, text="a_p") == []
    assert found(database, names, text="/") == []


def test_jobs_are_found_by_the_beginning_of_their_id(database: Database, names: dict[str, str]) -> None:
    first = next(iter(names))

    assert found(database, names, text=first) == ["Alpha"]
    assert len(found(database, names, text=first[:6])) == len(names)


def test_jobs_are_found_by_their_network(database: Database, names: dict[str, str]) -> None:
    assert found(database, names, network="lenet") == ["", "under_score", "Alpha"]
    assert found(database, names, network="resnet", text="sure") == ["100% sure"]


def test_both_orders_lead_through_all_jobs(database: Database, names: dict[str, str]) -> None:
    def pages(**order: Any) -> list[str]:
        seen: list[str] = []
        token = None
        with database.read() as tx:
            while True:
                page = jobs.list(tx, limit=2, page_token=token, **order)
                seen += [names[job.id] for job in page.items]
                token = page.next_token
                if token is None:
                    return seen

    oldest = [*names.values()]
    assert pages(order=JobOrder.OLDEST) == oldest
    assert pages() == oldest[::-1]


def test_a_token_is_valid_for_the_order_that_it_came_from(database: Database, names: dict[str, str]) -> None:
    with database.read() as tx:
        token = jobs.list(tx, limit=1).next_token
        with pytest.raises(InvalidPageToken):
            jobs.list(tx, order=JobOrder.OLDEST, page_token=token)


RESULTS = {
    "tie": (0.9, 0.02, 0.5),
    "Best": (0.95, -0.01, 0.99),
    "again": (0.9, 0.03, 0.9),
    "untested": (None, None, 0.8),
}
"""Name -> test accuracy, gain and sparsity of jobs with results, oldest first."""


@pytest.fixture
def ended(database: Database) -> list[str]:
    """Names of jobs with results of ``RESULTS``, of a failed job and of one that waits, oldest first."""
    with database.begin() as tx:
        for name, (accuracy, gain, sparsity) in RESULTS.items():
            queue.submit(tx, {"model": {}, "sparsity": sparsity}, name)
            claim = queue.claim(tx, "runner", lease_s=60)
            assert claim is not None
            result = {"test_accuracy": accuracy, "validation_accuracy": 0.7, "gain": {"test": gain, "validation": 0.5}}
            queue.finish(tx, claim.lease, JobState.SUCCEEDED, result=result)
        queue.submit(tx, {"model": {}, "sparsity": 0.7}, "broken")
        claim = queue.claim(tx, "runner", lease_s=60)
        assert claim is not None
        queue.finish(tx, claim.lease, JobState.FAILED, error=JobError("training_failed", "it broke", "dense"))
        queue.submit(tx, {"model": {}, "sparsity": 0.6}, None)
    return [*RESULTS, "broken", "-"]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (JobOrder.NAME, ["again", "Best", "broken", "tie", "untested", "-"]),
        (JobOrder.NAME_DESCENDING, ["untested", "tie", "broken", "Best", "again", "-"]),
        (JobOrder.STATE, ["-", "untested", "again", "Best", "tie", "broken"]),
        (JobOrder.STATE_DESCENDING, ["broken", "untested", "again", "Best", "tie", "-"]),
        (JobOrder.SPARSITY, ["tie", "-", "broken", "untested", "again", "Best"]),
        (JobOrder.SPARSITY_DESCENDING, ["Best", "again", "untested", "broken", "-", "tie"]),
        (JobOrder.ACCURACY, ["untested", "again", "tie", "Best", "-", "broken"]),
        (JobOrder.ACCURACY_DESCENDING, ["Best", "again", "tie", "untested", "-", "broken"]),
        (JobOrder.GAIN, ["Best", "tie", "again", "untested", "-", "broken"]),
        (JobOrder.GAIN_DESCENDING, ["untested", "again", "tie", "Best", "-", "broken"]),
    ],
)
@pytest.mark.parametrize("limit", [1, 2, 10])
def test_every_order_leads_through_all_jobs_with_ties_newest_first_and_missing_values_last(
    database: Database, ended: list[str], order: JobOrder, expected: list[str], limit: int
) -> None:
    seen: list[str] = []
    token = None
    with database.read() as tx:
        while token is not None or not seen:
            page = jobs.list(tx, order=order, limit=limit, page_token=token)
            seen += [job.name or "-" for job in page.items]
            token = page.next_token

    assert seen == expected


def test_a_page_goes_on_where_it_was_although_jobs_have_come_and_changed(database: Database, ended: list[str]) -> None:
    with database.begin() as tx:
        first = jobs.list(tx, order=JobOrder.NAME, limit=2)
        queue.submit(tx, {"model": {}, "sparsity": 0.1}, "aaa")
        queue.claim(tx, "runner", lease_s=60)
        rest = jobs.list(tx, order=JobOrder.NAME, limit=10, page_token=first.next_token)

    assert [job.name for job in rest.items] == ["broken", "tie", "untested", None]


@pytest.mark.parametrize(
    "name", ["ŞİRKET ’ 中文 🙂" * 10, "quotes \"' and \\ %_", "long " * 40], ids=["unicode", "quotes", "long"]
)
def test_any_name_makes_a_valid_token(database: Database, name: str) -> None:
    with database.begin() as tx:
        for _ in range(3):
            queue.submit(tx, {"model": {}}, name)
        first = jobs.list(tx, order=JobOrder.NAME, limit=1)
        rest = jobs.list(tx, order=JobOrder.NAME, limit=5, page_token=first.next_token)

    assert len({job.id for job in (*first.items, *rest.items)}) == 3
