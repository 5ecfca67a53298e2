"""The local Ray of a runner: it listens on loopback only and requires its token."""

import os
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address
from pathlib import Path

import psutil
import pytest
import ray

from tests.resume.attempts import ROOT
from workers.on_ray.local_ray import NICENESS, TOKEN, RayFolderTooLong
from workers.process import start_ray
from workers.settings import WorkerSettings

ASK = """
import sys
from ray._raylet import GcsClient
print("answered", GcsClient(address=sys.argv[1]).internal_kv_keys(b"", None, timeout=200))
"""
"""A request to Ray's control service, as every client makes it first."""


@ray.remote(num_cpus=0)
class _Trial:
    def number(self) -> int:
        return os.getpid()


@pytest.fixture
def trial(ray_session: None) -> Iterator[psutil.Process]:
    """The process of a worker."""
    actor = _Trial.remote()
    yield psutil.Process(ray.get(actor.number.remote()))
    ray.kill(actor)


def test_no_process_of_a_local_ray_listens_beyond_loopback(trial: psutil.Process) -> None:
    this_process = psutil.Process()
    processes = [this_process, *this_process.children(recursive=True)]

    found = {
        (process.name(), listening.laddr.ip)
        for process in processes
        for listening in process.net_connections("inet")
        if listening.status == psutil.CONN_LISTEN
    }

    assert trial in processes
    assert {"gcs_server", "raylet"} <= {name for name, _ in found}
    assert [name for name, address in found if not _is_loopback(address)] == []


def _is_loopback(address: str) -> bool:
    parsed = ip_address(address)
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return (mapped or parsed).is_loopback


def test_only_clients_with_the_token_are_answered(ray_session: None, tmp_path: Path) -> None:
    address = ray.get_runtime_context().gcs_address
    tokens = {"ours": os.environ[TOKEN], "another": "0" * 64, "none": None}

    outputs = {name: _ask(address, token, tmp_path) for name, token in tokens.items()}

    assert "answered" in outputs["ours"]
    for name in ("another", "none"):
        assert "answered" not in outputs[name]
        assert "InvalidAuthToken" in outputs[name]


def _ask(address: str, token: str | None, home: Path) -> str:
    """Return the output of a client in another process, whose home has no token file."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment = known | {"HOME": str(home), "RAY_AUTH_MODE": "token" if token else "disabled"}
    if token:
        environment[TOKEN] = token
    client = subprocess.run([sys.executable, "-c", ASK, address], env=environment, capture_output=True, text=True)
    return client.stdout + client.stderr


def test_the_token_is_in_no_file_and_in_no_command_line(trial: psutil.Process) -> None:
    token = os.environ[TOKEN]
    this_process = psutil.Process()

    assert len(token) >= 32
    assert not any(token in " ".join(process.cmdline()) for process in this_process.children(recursive=True))
    written = Path.home() / ".ray" / "auth_token"
    assert not written.exists() or written.read_text().strip() != token


@pytest.mark.parametrize(("environment", "expected"), [(None, "7"), ("3", "3")])
def test_workers_get_the_niceness_of_the_settings_unless_rays_own_variable_is_set(
    environment: str | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_start: list[str | None] = []
    monkeypatch.setattr(ray, "init", lambda *_, **__: at_start.append(os.environ.get(NICENESS)))
    monkeypatch.setenv(NICENESS, environment or "")
    if environment is None:
        monkeypatch.delenv(NICENESS)

    start_ray(WorkerSettings(home=tmp_path, cpus=1, worker_niceness=7))

    assert at_start == [expected]


def test_a_worker_runs_at_the_niceness_that_ray_was_given(trial: psutil.Process) -> None:
    assert trial.nice() == psutil.Process().nice() + int(os.environ[NICENESS])


def test_the_threads_of_a_worker_sleep_soon_while_they_wait(trial: psutil.Process) -> None:
    assert trial.environ()["GOMP_SPINCOUNT"] == "1000"


START_AND_IMPORT = """
import sys
from pathlib import Path

import ray

from workers.process import start_ray
from workers.settings import WorkerSettings

start_ray(WorkerSettings(home=Path(sys.argv[1]), cpus=1))


@ray.remote
def files():
    import numpy, safs, store
    from workers.on_ray import trial_actor
    return [module.__file__ for module in (numpy, safs, store, trial_actor)]


print(ray.get(files.remote()))
ray.shutdown()
"""


@pytest.mark.exhaustive  # It starts its own Ray; tests/cli/commands/test_up.py has the same files around a service.
def test_workers_import_no_module_from_the_folder_in_which_the_runner_was_started(tmp_path: Path) -> None:
    started_in = tmp_path / "mine"
    started_in.mkdir()
    for name in ("numpy", "torch", "safs", "store", "workers", "cli", "json"):
        (started_in / f"{name}.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'a').write({name!r})")

    ran = subprocess.run(
        [sys.executable, "-P", "-c", START_AND_IMPORT, str(tmp_path / "home")],
        cwd=started_in,
        env=os.environ | {"PYTHONSAFEPATH": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )

    assert not (tmp_path / "executed").exists(), (tmp_path / "executed").read_text()
    assert str(ROOT / "safs" / "__init__.py") in ran.stdout, ran.stderr
    assert str(started_in) not in ran.stdout


@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
def test_a_temporary_folder_that_is_too_long_for_rays_sockets_is_refused_with_the_remedy(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, f"/{'x' * 130}")

    with pytest.raises(RayFolderTooLong, match=f"{variable} is '/x+', 131 bytes, .*Set RAY_TMPDIR to a short path"):
        start_ray(WorkerSettings(home=tmp_path, cpus=1))
