"""Where the API may listen, and where it looks for data."""

from pathlib import Path

import pytest
from pydantic import ValidationError

import api
from api.settings import ApiSettings
from store import api_keys
from store.api_keys import Scope
from store.session import Database


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_key_and_asks_no_database(host: str, tmp_path: Path) -> None:
    ApiSettings(host=host, home=tmp_path, database_url="postgresql://nobody@127.0.0.1:1/none").refuse_open_network()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.5", "safs.example.org"])
def test_any_other_address_is_refused_without_a_key_and_the_way_out_is_told(
    host: str, sqlite_url: str, tmp_path: Path
) -> None:
    with pytest.raises(PermissionError, match=r"refusing to listen on.*`safs keys create.*127\.0\.0\.1 \(SAFS_HOST\)"):
        api.serve(ApiSettings(host=host, database_url=sqlite_url))
    with pytest.raises(PermissionError):
        ApiSettings(host=host, home=tmp_path / "home", database_url="").refuse_open_network()

    assert not (tmp_path / "home").exists()


def test_a_key_that_can_be_used_opens_other_addresses(database: Database, database_url: str) -> None:
    settings = ApiSettings(host="0.0.0.0", database_url=database_url)
    with database.begin() as tx:
        revoked, _ = api_keys.create(tx, "team", [Scope.READ])
        api_keys.revoke(tx, revoked.prefix)
        api_keys.create(tx, "team", [Scope.READ], lives_s=-1)
    with pytest.raises(PermissionError):
        settings.refuse_open_network()

    with database.begin() as tx:
        api_keys.create(tx, "team", [Scope.READ])

    settings.refuse_open_network()


def test_origins_of_pages_are_separated_by_commas_and_must_be_origins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAFS_CORS_ORIGINS", "https://a.example.org, http://localhost:3000")
    assert ApiSettings().cors_origins == ("https://a.example.org", "http://localhost:3000")

    for wrong in ("*", "https://a.example.org/page", "a.example.org", "null"):
        monkeypatch.setenv("SAFS_CORS_ORIGINS", wrong)
        with pytest.raises(ValidationError, match="is not an origin such as"):
            ApiSettings()


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SAFS_HOME", str(tmp_path))
    monkeypatch.setenv("SAFS_PORT", "8123")
    settings = ApiSettings()

    assert settings.port == 8123
    assert settings.data_folder == tmp_path / "data"
    monkeypatch.setenv("SAFS_DATA_ROOT", str(tmp_path / "sets"))
    assert ApiSettings().data_folder == tmp_path / "sets"
