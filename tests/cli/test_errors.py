"""Errors about invalid values name the variable or option, and the value."""

from collections.abc import Callable

import pytest
from pydantic import ValidationError
from pydantic_settings import BaseSettings
from typer.testing import Result

from api.settings import ApiSettings
from cli.errors import explain
from safs.client import ServiceError
from safs.spec.job import JobSpec
from store.settings import StoreSettings
from telemetry.logs import LogSettings
from workers.settings import WorkerSettings

Safs = Callable[..., Result]


def explained(settings: type[BaseSettings]) -> str:
    with pytest.raises(ValidationError) as wrong:
        settings()
    return explain(wrong.value)


@pytest.mark.parametrize(
    ("settings", "variable", "value", "message"),
    [
        (ApiSettings, "SAFS_ARTIFACTS_LIMIT_BYTES", "5GB", "input should be a valid integer"),
        (ApiSettings, "SAFS_QUEUED_JOBS", "-1", "input should be greater than or equal to 0"),
        (ApiSettings, "SAFS_GPU_HOURS", "abc", "input should be a valid number"),
        (ApiSettings, "SAFS_KEEP_ALIVE_S", "60", "input should be less than or equal to 30"),
        (WorkerSettings, "SAFS_CPUS", "0", "input should be greater than or equal to 1"),
        (WorkerSettings, "SAFS_LEASE_S", "x", "input should be a valid number"),
        (StoreSettings, "SAFS_RETENTION_DAYS", "-1", "input should be greater than 0"),
        (LogSettings, "SAFS_LOG_FORMAT", "xml", "input should be 'auto', 'text' or 'json'"),
        (LogSettings, "SAFS_LOG_LEVEL", "loud", "input should be 'debug'"),
    ],
)
def test_a_wrong_setting_is_one_line_with_its_variable_and_its_value(
    settings: type[BaseSettings], variable: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    line = explained(settings)

    assert line.startswith(f"{variable} is {value!r}: {message}")
    assert "\n" not in line


def test_a_setting_that_does_not_fit_another_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAFS_HEARTBEAT_S", "20")

    assert explained(WorkerSettings).startswith("SAFS_HEARTBEAT_S (20) must be at most half of SAFS_LEASE_S (30)")


def test_several_wrong_settings_are_a_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAFS_QUEUED_JOBS", "many")
    monkeypatch.setenv("SAFS_PORT", "70000")

    header, port, jobs = explained(ApiSettings).splitlines()

    assert header == "2 values are wrong:"
    assert port == "  SAFS_PORT is '70000': input should be less than or equal to 65535"
    assert jobs.startswith("  SAFS_QUEUED_JOBS is 'many': ")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SAFS_DATABASE_URL", "mysql://safs:hunter2@db/safs"),
        ("SAFS_DATABASE_URL", "hunter2"),
        ("SAFS_ARTIFACTS_URL", "hunter2"),
        ("SAFS_GPU_HOURS", "postgresql://safs:hunter2@db/safs"),
    ],
)
def test_what_may_hold_a_password_is_not_shown(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)

    line = explained(ApiSettings)

    assert line.startswith(variable)
    assert line.count(variable) == 1
    assert "hunter2" not in line


def test_a_wrong_value_of_a_job_is_named_by_its_path() -> None:
    with pytest.raises(ValidationError) as wrong:
        JobSpec.model_validate({"model": {"architecture": "lenet5"}, "data": {"dataset": "digits"}, "sparsity": 1.5})

    assert explain(wrong.value) == "sparsity: Input should be less than 1 (given: 1.5)"


@pytest.mark.parametrize(
    ("arguments", "flag", "value"),
    [
        (["submit", "--sparsity", "abc"], "--sparsity", "'abc'"),
        (["jobs", "--limit", "0"], "--limit", "'0'"),
        (["keys", "create", "--owner", "a", "--scopes", "read", "--gpu-hours", "x"], "--gpu-hours", "'x'"),
    ],
)
def test_a_wrong_flag_is_shown_with_its_value(safs: Safs, arguments: list[str], flag: str, value: str) -> None:
    done = safs(*arguments)

    assert done.exit_code == 2
    assert f"Invalid value for '{flag}': Input should be" in done.stderr
    assert f"(given: {value})" in done.stderr


@pytest.mark.parametrize("port", ["abc", "70000"])
def test_a_wrong_variable_of_a_flag_is_shown_with_its_value(
    safs: Safs, port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFS_PORT", port)

    assert f"(given: {port!r})" in safs("api").stderr


@pytest.mark.parametrize("url", ["foo", "foo:8000", "ftp://foo", "http://[::1", "http://foo:port"])
def test_an_invalid_address_is_an_error_with_an_example(safs: Safs, url: str) -> None:
    error = safs("jobs", "--url", url).exception

    assert isinstance(error, ServiceError)
    assert error.code == "invalid_url"
    assert not error.may_pass
    assert explain(error).startswith(f"{url.rstrip('/')!r} is not the address of a service")
    assert explain(error).endswith("; give one such as http://127.0.0.1:8000")


def test_an_id_that_cannot_be_part_of_an_address_is_an_error(safs: Safs) -> None:
    error = safs("show", "job\n1").exception

    assert isinstance(error, ServiceError)
    assert explain(error).startswith("this id cannot be part of an address: Invalid non-printable ASCII character")
