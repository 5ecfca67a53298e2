"""``safs api`` on an address that it cannot listen on."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

import api
from api.settings import ApiSettings
from cli.errors import CommandError
from cli.supervisor import check_port, free_port

Safs = Callable[..., Result]
needs_ipv6 = pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="this machine has no IPv6")


def test_a_port_in_use_is_said_with_the_way_out(sqlite_url: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "cli", "api", "--host", "127.0.0.1", "--port", str(port), "--home", str(tmp_path)],
            env={**os.environ, "SAFS_DATABASE_URL": sqlite_url},
            capture_output=True,
            text=True,
            timeout=120,
        )

    assert done.returncode == 1
    assert f"port {port} of 127.0.0.1 is in use" in done.stderr
    assert "--port" in done.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=needs_ipv6)])
@pytest.mark.parametrize("port", ["any", "free"])
def test_a_port_that_is_free_is_served(
    safs: Safs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, host: str, port: str
) -> None:
    """Includes IPv6 and a port that the system chooses."""
    served: list[ApiSettings] = []
    monkeypatch.setattr(api, "serve", served.append)
    number = 0 if port == "any" else free_port()

    done = safs("api", "--host", host, "--port", str(number), "--home", str(tmp_path))

    assert done.exception is None
    assert [(each.host, each.port) for each in served] == [(host, number)]


def test_an_address_that_is_not_this_machines_is_said_to_be_so() -> None:
    with pytest.raises(CommandError, match=r"cannot listen on 192\.0\.2\.1:80"):
        check_port("192.0.2.1", 80)
