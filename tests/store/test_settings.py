"""Where the data lives, by the environment."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from store.settings import StoreSettings


@pytest.fixture(autouse=True)
def no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SAFS_HOME", raising=False)
    monkeypatch.delenv("SAFS_DATABASE_URL", raising=False)


def test_everything_lives_in_the_users_folder_by_default(tmp_path: Path) -> None:
    settings = StoreSettings()

    assert settings.home == tmp_path / ".local/share/safs"
    assert settings.database_url == f"sqlite:///{tmp_path}/.local/share/safs/safs.db"
    assert settings.artifacts_folder == tmp_path / ".local/share/safs/artifacts"


def test_home_moves_database_and_artifacts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SAFS_HOME", "~/elsewhere")

    settings = StoreSettings()

    assert settings.database_url == f"sqlite:///{tmp_path}/elsewhere/safs.db"
    assert settings.artifacts_folder == tmp_path / "elsewhere/artifacts"


def test_empty_variables_count_as_not_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SAFS_HOME", "")
    monkeypatch.setenv("SAFS_DATABASE_URL", "")

    assert StoreSettings().database_url == f"sqlite:///{tmp_path}/.local/share/safs/safs.db"


def test_database_url_moves_the_database_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SAFS_DATABASE_URL", "postgresql://safs:s3cret@db/safs")

    settings = StoreSettings()

    assert settings.database_url == "postgresql://safs:s3cret@db/safs"
    assert settings.artifacts_folder == tmp_path / ".local/share/safs/artifacts"


def test_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAFS_DATABASE_URL", "postgresql://safs:s3cret@db/safs")
    shown = repr(StoreSettings())
    monkeypatch.setenv("SAFS_DATABASE_URL", "mysql://safs:s3cret@db/safs")

    with pytest.raises(ValidationError, match="sqlite:/// or postgresql://") as caught:
        StoreSettings()

    assert "s3cret" not in shown + str(caught.value)
