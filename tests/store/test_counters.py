"""Counters only grow, whoever adds to them."""

from threading import Thread

from store import counters
from store.session import Database


def test_a_counter_begins_at_zero_and_adds_up(database: Database) -> None:
    with database.begin() as tx:
        empty = counters.read(tx)
        counters.add(tx, {"runners_lost": 1, "seconds_lost": 2.5})
        counters.add(tx, {"seconds_lost": 0.25})
        found = counters.read(tx)

    assert empty == {}
    assert found == {"runners_lost": 1.0, "seconds_lost": 2.75}


def test_what_many_add_at_once_is_all_there(database: Database) -> None:
    def add_some() -> None:
        for _ in range(10):
            with database.begin() as tx:
                counters.add(tx, {"b": 2, "a": 1})

    threads = [Thread(target=add_some) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with database.read() as tx:
        assert counters.read(tx) == {"a": 40.0, "b": 80.0}
