"""Filters and orders of the list of jobs, on both kinds of databases."""

from typing import Any

import pytest

from store import jobs, queue
from store.errors import InvalidPageToken
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
    assert pages(oldest_first=True) == oldest
    assert pages() == oldest[::-1]


def test_a_token_is_valid_for_the_order_that_it_came_from(database: Database, names: dict[str, str]) -> None:
    with database.read() as tx:
        token = jobs.list(tx, limit=1).next_token
        with pytest.raises(InvalidPageToken):
            jobs.list(tx, oldest_first=True, page_token=token)
