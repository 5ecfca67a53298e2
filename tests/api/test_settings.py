"""Where the API may listen, and where it looks for data."""

from pathlib import Path

import pytest

import api
from api.settings import ApiSettings


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_key(host: str) -> None:
    ApiSettings(host=host).refuse_open_network()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.5", "safs.example.org"])
def test_any_other_address_is_refused_with_the_way_out(host: str) -> None:
    with pytest.raises(PermissionError, match=r"refusing to listen on.*reverse proxy.*SAFS_TRUSTED_NETWORK=true"):
        api.serve(ApiSettings(host=host))


def test_a_trusted_network_is_said_to_be_one() -> None:
    ApiSettings(host="0.0.0.0", trusted_network=True).refuse_open_network()


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SAFS_HOME", str(tmp_path))
    monkeypatch.setenv("SAFS_PORT", "8123")
    settings = ApiSettings()

    assert settings.port == 8123
    assert settings.data_folder == tmp_path / "data"
    monkeypatch.setenv("SAFS_DATA_ROOT", str(tmp_path / "sets"))
    assert ApiSettings().data_folder == tmp_path / "sets"
