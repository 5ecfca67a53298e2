"""API keys, on both kinds of database."""

import re
from hashlib import sha256

import pytest
from sqlalchemy import text

from store import api_keys
from store.api_keys import KeyLimits, KeyState, Scope
from store.errors import InvalidValue, KeyNotFound
from store.session import Database


def test_a_token_finds_its_key_and_only_its_hash_is_stored(database: Database) -> None:
    limits = KeyLimits(requests_per_minute=10, queued_jobs=0, gpu_hours=1.5)
    with database.begin() as tx:
        made, token = api_keys.create(tx, "vision", [Scope.READ, Scope.SUBMIT, Scope.READ], lives_s=3600, limits=limits)

    with database.read() as tx:
        found = api_keys.find(tx, token)
        (row,) = tx.execute(text("SELECT * FROM api_keys")).mappings()

    assert found == made
    assert (made.owner, made.scopes, made.state) == ("vision", {Scope.READ, Scope.SUBMIT}, KeyState.ACTIVE)
    assert made.limits == limits
    assert made.expires_at is not None
    assert (made.expires_at - made.created_at).total_seconds() == pytest.approx(3600, abs=5)
    assert re.fullmatch(rf"safs_{made.prefix}_[0-9a-f]{{48}}", token)
    assert row["sha256"] == sha256(token.encode()).hexdigest()
    assert token.rpartition("_")[2] not in str(dict(row))


def test_what_is_not_wholly_the_token_finds_nothing(database: Database) -> None:
    with database.begin() as tx:
        key, token = api_keys.create(tx, "vision", [Scope.READ])
        _, other = api_keys.create(tx, "vision", [Scope.READ])

    with database.read() as tx:
        for wrong in ("", key.prefix, token[:-1], token + "0", token.upper(), f"safs_{key.prefix}_{other[-48:]}"):
            assert api_keys.find(tx, wrong) is None, wrong


def test_a_key_expires_by_the_databases_clock_and_a_revoked_one_stays_in_the_list(database: Database) -> None:
    with database.begin() as tx:
        expired, token = api_keys.create(tx, "vision", [Scope.READ], lives_s=-1)
        revoked, _ = api_keys.create(tx, "vision", [Scope.READ])
        once = api_keys.revoke(tx, revoked.prefix)
        twice = api_keys.revoke(tx, revoked.prefix)

    with database.read() as tx:
        found = api_keys.find(tx, token)
        states = {key.prefix: key.state for key in api_keys.list(tx)}
        usable, any_key = api_keys.can_be_used(tx), api_keys.exist(tx)

    assert found is not None
    assert states == {expired.prefix: KeyState.EXPIRED, revoked.prefix: KeyState.REVOKED}
    assert once.revoked_at == twice.revoked_at is not None
    assert (usable, any_key) == (False, True)


def test_use_is_noted_once_a_minute(database: Database) -> None:
    with database.begin() as tx:
        key, _ = api_keys.create(tx, "vision", [Scope.READ])
        api_keys.note_use(tx, key.prefix)
        first = api_keys.get(tx, key.prefix).last_used_at
        api_keys.note_use(tx, key.prefix)
        second = api_keys.get(tx, key.prefix).last_used_at
        tx.execute(text("UPDATE api_keys SET last_used_at = :at"), {"at": "2026-01-01T00:00:00.000Z"})
        api_keys.note_use(tx, key.prefix)
        later = api_keys.get(tx, key.prefix).last_used_at

    assert key.last_used_at is None
    assert first == second is not None
    assert later is not None
    assert later >= first


@pytest.mark.parametrize("owner", ["", " ", "-x", "two words", "a" * 65, "a\n", "ü", "a/b"])
def test_what_is_no_owners_name_is_refused(sqlite_database: Database, owner: str) -> None:
    with sqlite_database.begin() as tx, pytest.raises(InvalidValue, match="is not a valid owner"):
        api_keys.create(tx, owner, [Scope.READ])


def test_a_key_without_scope_or_of_an_unknown_prefix_is_an_error(sqlite_database: Database) -> None:
    with sqlite_database.begin() as tx:
        assert not api_keys.exist(tx)
        with pytest.raises(InvalidValue, match="Known: submit, read, admin"):
            api_keys.create(tx, "vision", [])
        with pytest.raises(KeyNotFound, match=r"'ab'.*safs keys list"):
            api_keys.revoke(tx, "ab")


def test_admin_includes_the_other_scopes_and_they_nothing_else(sqlite_database: Database) -> None:
    with sqlite_database.begin() as tx:
        allowed = {scope: [one for one in Scope if api_keys.create(tx, "a", [scope])[0].allows(one)] for scope in Scope}

    assert allowed == {Scope.SUBMIT: [Scope.SUBMIT], Scope.READ: [Scope.READ], Scope.ADMIN: [*Scope]}
