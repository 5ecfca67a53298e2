"""A local Ray: listens on loopback only, and answers no client without this process's token.

Every client of Ray can run code. By default Ray listens on every interface of a Linux machine, and it replaces the node
address 127.0.0.1 by the machine's own.
"""

import logging
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray._private import ray_constants

from safs.errors import SafsError

TOKEN, TOKEN_FILE, MODE = "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"
NICENESS = "RAY_worker_niceness"
SPINS = "GOMP_SPINCOUNT"
PORT_WAIT = "RAY_gcs_server_port_wait_time_s"
LONGEST_SOCKET_BYTES = 107
"""Longest path of a Unix socket, in bytes."""


class RayFolderTooLong(SafsError):
    """The temporary folder's path is too long for Ray's sockets."""

    code = "ray_folder_too_long"


def start_local_ray(cpus: int, niceness: int, **options: Any) -> None:
    """Start a local Ray and connect this process to it. Its workers inherit the environment of this process.

    Args:
        cpus: number of cores that Ray offers.
        niceness: niceness of its workers, 0 to 19. ``RAY_worker_niceness`` in the environment overrides it.
        options: further arguments of ``ray.init``.

    Raises:
        RayFolderTooLong: the paths of Ray's sockets in its temporary folder would be too long.
    """
    _check_temporary_folder()
    _require_token()
    os.environ.setdefault(NICENESS, str(niceness))  # Ray's node manager reads it when it starts; its default is 15.
    # By default a thread keeps its core busy while it waits for another one, which then gets no core where other
    # programs want them, too. It waits so for some microseconds now, then it sleeps (decision 050).
    os.environ.setdefault(SPINS, "1000")
    os.environ.setdefault(PORT_WAIT, "600")  # Seconds; its default of 30 is too short for a busy machine.
    with _loopback_only():
        ray.init(
            "local",  # Any other address may join a Ray that another user has started on this machine.
            num_cpus=cpus,
            include_dashboard=False,
            _node_ip_address="127.0.0.1",
            **options,
        )


def _check_temporary_folder() -> None:
    """Raise if the sockets that Ray keeps in its temporary folder would have paths that are too long."""
    variable = "RAY_TMPDIR" if "RAY_TMPDIR" in os.environ else "TMPDIR"
    if variable not in os.environ or not sys.platform.startswith("linux"):
        return
    folder = os.environ[variable]
    taken = len(f"/ray/session_2026-01-01_00-00-00_000000_{os.getpid()}/sockets/plasma_store")
    if len(os.fsencode(folder)) + taken > LONGEST_SOCKET_BYTES:
        raise RayFolderTooLong(
            f"{variable} is {folder!r}, {len(os.fsencode(folder))} bytes, too long for the sockets of Ray in it "
            f"(at most {LONGEST_SOCKET_BYTES - taken}). Set RAY_TMPDIR to a short path, such as /tmp."
        )


def _require_token() -> None:
    """Set a token in the environment of this process and its children, so that Ray writes none to a file.

    Ray reads the token once per process, so a second start in this process uses the same one.
    """
    os.environ.setdefault(TOKEN, secrets.token_hex(32))
    os.environ.pop(TOKEN_FILE, None)
    # Without a mode in the environment, Ray asks for a token. Removing the variable prevents that a mode turns it off.
    # Ray also warns of this default and says how to turn it off, so the warning is silenced.
    os.environ.pop(MODE, None)
    logging.getLogger("ray._private.authentication.authentication_token_setup").setLevel(logging.ERROR)


@contextmanager
def _loopback_only() -> Iterator[None]:
    """Set the flag of ``RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0``, which Ray reads on import: no other machine can join.

    The flag is set only while Ray starts, since a runner that joins a cluster needs the machine's address.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before
