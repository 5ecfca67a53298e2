"""A user id that the machine does not know has no home folder: the way out is named."""

import pwd
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from api.settings import ApiSettings
from cli.errors import explain
from cli.main import make_app
from store.settings import StoreSettings
from workers.settings import WorkerSettings

WAY_OUT = "set SAFS_HOME to a folder that can be written"


@pytest.fixture(autouse=True)
def unknown_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs under a number: no HOME, and no entry in /etc/passwd."""

    def unknown(uid: int) -> NoReturn:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("SAFS_HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


@pytest.mark.parametrize("settings", [StoreSettings, ApiSettings, WorkerSettings])
def test_settings_name_the_variable_to_set(settings: Callable[[], Any]) -> None:
    with pytest.raises(ValidationError, match=WAY_OUT):
        settings()


def test_a_home_that_is_given_needs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAFS_HOME", str(tmp_path))

    assert StoreSettings().home == tmp_path
    assert ApiSettings().data_folder == WorkerSettings().data_folder == tmp_path / "data"


@pytest.mark.parametrize("settings", [ApiSettings, WorkerSettings])
def test_a_data_root_with_a_tilde_is_refused(
    settings: Callable[[], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFS_HOME", str(tmp_path))
    monkeypatch.setenv("SAFS_DATA_ROOT", "~/images")

    with pytest.raises(ValidationError, match="SAFS_DATA_ROOT"):
        settings()


@pytest.mark.parametrize("command", [["migrate"], ["keys", "list"], ["scrub"], ["collect"]])
def test_commands_refuse_with_the_way_out(command: list[str]) -> None:
    done = CliRunner().invoke(make_app(), command)

    assert isinstance(done.exception, Exception)
    assert explain(done.exception) == f"this user has no home folder (HOME is not set); {WAY_OUT}"


def test_a_tilde_on_the_command_line_is_refused() -> None:
    done = CliRunner().invoke(make_app(), ["submit", "--spec", "~/job.yaml"])

    assert isinstance(done.exception, Exception)
    assert "write the path without ~" in explain(done.exception)
