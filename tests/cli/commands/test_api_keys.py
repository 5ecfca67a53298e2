"""``safs keys`` on a database without an API, and the errors of the other commands without a valid key."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from api.settings import ApiSettings
from cli.errors import CommandError
from cli.main import make_app
from cli.supervisor import Service
from migrations import upgrade
from safs.client import ServiceError
from store import api_keys
from store.errors import InvalidValue, KeyNotFound, SchemaMissing, SchemaNewer
from store.session import Database
from tests.api.conftest import running

Safs = Callable[..., Result]
TOKEN = re.compile(r"safs_([0-9a-f]{8})_[0-9a-f]{48}\n")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without a database."""
    monkeypatch.setenv("SAFS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SAFS_DATABASE_URL", raising=False)
    return tmp_path / "home"


@pytest.fixture
def api_with_key(safs: Safs) -> Iterator[tuple[str, str]]:
    """A server's address, and the token of the one key that it knows."""
    token = safs("keys", "create", "--owner", "vision", "--scopes", "read").stdout.strip()
    with running(ApiSettings(free_disk_bytes=0)) as (url, _):
        yield url, token


def made(safs: Safs, *options: str) -> str:
    """The prefix of a new key. Standard output holds its token alone."""
    match = TOKEN.fullmatch(safs("keys", "create", *options).stdout)
    assert match is not None
    return match[1]


def test_a_key_is_made_listed_and_revoked(safs: Safs) -> None:
    first = made(safs, "--owner", "vision", "--scopes", "submit,read", "--expires", "90d", "--gpu-hours", "2.5")
    second = made(safs, "--owner", "ops", "--scopes", "admin")
    revoked = safs("keys", "revoke", first)
    table = safs("keys", "list").stdout
    listed = json.loads(safs("keys", "list", "--json").stdout)

    assert revoked.stdout == f"key {first} of vision is revoked\n"
    assert [(key["prefix"], key["owner"], key["state"]) for key in listed] == [
        (second, "ops", "active"),
        (first, "vision", "revoked"),
    ]
    assert listed[1]["limits"] == {"requests_per_minute": None, "queued_jobs": None, "gpu_hours": 2.5}
    for shown in (first, second, "vision", "read, submit", "admin", "revoked", "active", "never", "gpu_hours 2.5"):
        assert shown in table
    assert "sha256" not in table + str(listed)


def test_the_token_is_shown_once_and_what_it_is_good_for_beside_it(safs: Safs) -> None:
    result = safs("keys", "create", "--owner", "ci", "--scopes", "read", "--expires", "12h")
    secret = result.stdout.strip().rpartition("_")[2]

    assert "of ci: read until" in result.stderr
    assert "not shown again" in result.stderr
    assert secret not in result.stderr
    assert secret not in safs("keys", "list").stdout + safs("keys", "list", "--json").stdout


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (["--owner", "a", "--scopes", "submit,write"], CommandError, "submit, read, admin"),
        (["--owner", "a", "--scopes", "read", "--expires", "soon"], CommandError, "such as 90d, 12h, 30m"),
        (["--owner", "a", "--scopes", "read", "--expires", "0d"], CommandError, "such as 90d, 12h, 30m"),
        (["--owner", "two words", "--scopes", "read"], InvalidValue, "'two words' is not a valid owner"),
    ],
)
def test_a_wrong_value_is_an_error_with_the_valid_ones(
    safs: Safs, options: list[str], error: type[Exception], message: str
) -> None:
    result = safs("keys", "create", *options)

    assert isinstance(result.exception, error)
    assert message in str(result.exception)


def test_without_a_database_nothing_is_made_but_by_create(safs: Safs, home: Path) -> None:
    for command in (["list"], ["revoke", "1f0c9a3e"]):
        result = safs("keys", *command)
        assert isinstance(result.exception, CommandError)
        assert "SAFS_HOME says where it is" in str(result.exception)
    assert not home.exists()

    made(safs, "--owner", "a", "--scopes", "read")

    assert isinstance(safs("keys", "revoke", "1f0c9a3e").exception, KeyNotFound)


@pytest.mark.parametrize(
    "command", [["create", "--owner", "a", "--scopes", "read"], ["list"], ["revoke", "1f0c9a3e"]], ids=lambda c: c[0]
)
@pytest.mark.parametrize(("revision", "error"), [("0009", SchemaNewer), ("0002", SchemaMissing)])
def test_keys_under_another_schema_are_left_alone(
    safs: Safs, home: Path, command: list[str], revision: str, error: type[Exception]
) -> None:
    upgrade(f"sqlite:///{home / 'safs.db'}")
    database = Database(f"sqlite:///{home / 'safs.db'}")
    with database.begin() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})

    result = safs("keys", *command)

    assert isinstance(result.exception, error)
    assert f"revision {revision}" in str(result.exception)
    with database.read() as tx:
        assert not api_keys.exist(tx)
    database.dispose()


@pytest.mark.parametrize("command", ["create", "list", "revoke"])
def test_every_command_has_help_with_examples(command: str) -> None:
    shown = CliRunner().invoke(make_app(), ["keys", command, "--help"])

    assert shown.exit_code == 0
    assert f"safs keys {command}" in shown.stdout.partition("Examples:")[2]


def test_up_refuses_other_addresses_without_a_key_before_anything_starts(home: Path) -> None:
    with pytest.raises(PermissionError, match=r"refusing to listen on 0\.0\.0\.0.*`safs keys create"):
        Service.start("0.0.0.0", 8000, home)

    assert not home.exists()


def test_commands_say_where_a_key_comes_from(safs: Safs, api_with_key: tuple[str, str]) -> None:
    url, token = api_with_key

    refused = safs("jobs", "--url", url)
    wrong = CliRunner(env={"SAFS_API_KEY": f"{token[:-1]}x"}).invoke(make_app(), ["jobs", "--url", url])
    right = CliRunner(env={"SAFS_API_KEY": token}).invoke(make_app(), ["jobs", "--url", url])

    for result, message in ((refused, "this request needs an API key"), (wrong, "no key of this service")):
        assert isinstance(result.exception, ServiceError)
        assert message in str(result.exception)
        assert "SAFS_API_KEY" in str(result.exception)
        assert token[14:-1] not in str(result.exception)
    assert (right.exit_code, right.stdout) == (0, "no jobs\n")
