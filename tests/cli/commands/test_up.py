"""``safs up`` as a user runs it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from cli.child_process import Child
from cli.supervisor import READY, free_port
from safs import verify
from safs.client import Client
from tests.planted import imported, plant
from tests.waiting import PATIENCE_S, is_listening, wait_until

JOB = {
    "model": {"architecture": "mlp"},
    "data": {"dataset": "digits"},
    "sparsity": 0.9,
    "train": {"epochs": 1},
    "prune": {"schedule": "one_shot", "distribution": "global"},
    "activations": {"strategy": "random", "trials": 2, "epochs": 1},
    "final": {"epochs": 1, "candidates": ["default", "activations"]},
}


def test_a_port_in_use_is_said_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "cli", "up", "--port", str(port), "--home", str(tmp_path / "home")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)

    assert done.returncode == 1
    assert f"port {port} of 127.0.0.1 is in use" in done.stderr
    assert "--port" in done.stderr
    assert not (tmp_path / "home").exists()


@pytest.mark.slow
@pytest.mark.timeout(3 * PATIENCE_S)
def test_up_gets_ready_runs_a_job_keeps_logs_and_leaves_nothing_running_when_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, home, folder = free_port(), tmp_path / "home", plant(tmp_path / "folder")
    monkeypatch.chdir(folder)
    url = f"http://127.0.0.1:{port}"
    environment = {"SAFS_DATABASE_URL": "", "SAFS_HOST": "127.0.0.1"}
    up = Child(
        "up",
        ["up", "--port", str(port), "--home", str(home)],
        log=tmp_path / "up.log",
        environment=environment,
        ready=READY,
    )
    try:
        wait_until(lambda: up.is_ready or up.exit_code is not None)
        assert up.is_ready, "\n".join(up.tail())
        ready = httpx.get(f"{url}/readyz", trust_env=False).status_code
        sessions = _processes_of(home)
        with Client(url) as client:
            checked = client.check(JOB)
            verified = verify(client.submit(JOB).wait(timeout_s=PATIENCE_S).download(tmp_path))
    finally:
        up.stop(grace_s=30)

    assert ready == 200
    assert checked["estimate"]["untimed"] is None
    assert verified.sparsity.live == round(0.1 * verified.sparsity.weights)
    assert len(sessions) >= 2  # the API, the runner; Ray's processes inherit the environment as well
    assert up.exit_code == 0
    assert imported(folder) == []
    assert not is_listening(url)
    wait_until(lambda: not _processes_of(home))
    assert {file.name for file in (home / "logs").iterdir()} == {"api.log", "runner.log"}


def _processes_of(home: Path) -> list[int]:
    """Processes with this SAFS_HOME in their environment: all that the service has started, Ray's included."""
    wanted = f"SAFS_HOME={home}\0".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (process / "environ").read_bytes() + b"\0" and (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return [number for number in found if number != os.getpid()]
