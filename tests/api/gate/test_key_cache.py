"""Keys are cached for a short time."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from api.gate.key_cache import MAX_STALE_S, TTL_S, KeyCache, KeyLookup
from store import api_keys, tables
from store.api_keys import KeyState, Scope
from store.errors import DatabaseUnavailable
from store.session import Database
from tests.api.conftest import GateClock


@pytest.fixture
def clock() -> GateClock:
    return GateClock(100.0)


@pytest.fixture
def key_cache(sqlite_database: Database, clock: GateClock) -> KeyCache:
    return KeyCache(sqlite_database, ttl_s=1.0, clock=clock)


@pytest.fixture
def token(sqlite_database: Database) -> str:
    with sqlite_database.begin() as tx:
        return api_keys.create(tx, "vision", [Scope.READ])[1]


@contextmanager
def questions(database: Database) -> Iterator[list[str]]:
    """The SQL statements sent while the block runs."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    yield sent
    event.remove(database.engine, "before_cursor_execute", note)


@contextmanager
def away(database: Database) -> Iterator[None]:
    """A folder lies where the file was: whoever connects is refused."""
    file = Path(str(database.url.database))
    elsewhere = file.with_suffix(".moved")
    database.dispose()
    file.rename(elsewhere)
    file.mkdir()
    yield
    file.rmdir()
    elsewhere.rename(file)


def find(key_cache: KeyCache, token: str | None, *, allow_stale: bool = False) -> KeyLookup:
    return asyncio.run(key_cache.find(token, allow_stale=allow_stale))


def test_a_key_is_looked_up_once_in_a_while(
    key_cache: KeyCache, clock: GateClock, token: str, sqlite_database: Database
) -> None:
    with questions(sqlite_database) as sent:
        first = find(key_cache, token)
        clock.now_s += 1.0
        assert find(key_cache, token) is first
        assert len(sent) == 1
        clock.now_s += 0.1
        assert find(key_cache, token) is not first


def test_a_revoked_key_is_known_as_revoked_when_its_time_is_over(
    key_cache: KeyCache, clock: GateClock, token: str, sqlite_database: Database
) -> None:
    find(key_cache, token)
    with sqlite_database.begin() as tx:
        api_keys.revoke(tx, token.split("_")[1])
    clock.now_s += 1.1

    found = find(key_cache, token).key

    assert found is not None
    assert found.state is KeyState.REVOKED


def test_what_is_no_key_is_looked_up_each_time_and_fills_nothing(
    key_cache: KeyCache, token: str, sqlite_database: Database
) -> None:
    wrong = [token[:-1] + ("0" if token[-1] != "0" else "1"), "safs_00000000_" + 48 * "0", "", "a key"]
    with questions(sqlite_database) as sent:
        assert [find(key_cache, one) for one in 2 * wrong] == [KeyLookup(None, any_key=True)] * 8

    assert len(sent) >= 8
    assert not key_cache._cache


def test_a_caller_without_a_key_is_not_taken_for_another(key_cache: KeyCache, token: str) -> None:
    assert find(key_cache, token).key is not None
    assert find(key_cache, None) == KeyLookup(None, any_key=True)
    assert find(key_cache, "") == KeyLookup(None, any_key=True)


def test_a_database_that_fails_is_asked_again_at_once(clock: GateClock, token: str, sqlite_database: Database) -> None:
    class Failing(KeyCache):
        broken = True

        def _read(self, token: str | None) -> KeyLookup:
            if self.broken:
                raise OSError("the disk is away")
            return super()._read(token)

    key_cache = Failing(sqlite_database, clock=clock)
    with pytest.raises(OSError, match="away"):
        find(key_cache, token)
    key_cache.broken = False

    assert find(key_cache, token).key is not None


@pytest.mark.parametrize("is_sent", [True, False], ids=["a key", "no key"])
def test_while_the_database_is_away_its_last_answer_holds_for_ten_minutes_for_who_takes_an_old_one(
    key_cache: KeyCache, clock: GateClock, sqlite_database: Database, request: pytest.FixtureRequest, is_sent: bool
) -> None:
    sent = request.getfixturevalue("token") if is_sent else None
    known = find(key_cache, sent)

    with away(sqlite_database):
        clock.now_s += TTL_S + 0.1
        assert find(key_cache, sent, allow_stale=True) is known
        with pytest.raises(DatabaseUnavailable):
            find(key_cache, sent)
        clock.now_s += MAX_STALE_S - TTL_S - 0.2
        assert find(key_cache, sent, allow_stale=True) is known, (
            "its ten minutes begin when the database was last asked"
        )
        clock.now_s += 0.2
        with pytest.raises(DatabaseUnavailable):
            find(key_cache, sent, allow_stale=True)

    assert find(key_cache, sent) == known
    assert find(key_cache, sent) is not known


def test_while_the_database_is_away_nobody_is_known_who_was_not_before(
    key_cache: KeyCache, token: str, sqlite_database: Database
) -> None:
    with away(sqlite_database):
        for sent in (token, None, "a key"):
            with pytest.raises(DatabaseUnavailable):
                find(key_cache, sent, allow_stale=True)


def test_a_key_that_turned_out_revoked_or_gone_is_forgotten(
    key_cache: KeyCache, clock: GateClock, token: str, sqlite_database: Database
) -> None:
    with sqlite_database.begin() as tx:
        other = api_keys.create(tx, "vision", [Scope.READ])[1]
    find(key_cache, token), find(key_cache, other)
    with sqlite_database.begin() as tx:
        api_keys.revoke(tx, token.split("_")[1])
        tx.execute(tables.api_keys.delete().where(tables.api_keys.c.prefix == other.split("_")[1]))
    clock.now_s += TTL_S + 0.1
    find(key_cache, token), find(key_cache, other)

    with away(sqlite_database):
        for sent in (token, other):
            with pytest.raises(DatabaseUnavailable):
                find(key_cache, sent, allow_stale=True)
    assert not key_cache._cache
