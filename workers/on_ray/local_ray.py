"""A Ray of this machine alone: it listens on loopback, and answers nobody without the token of this process.

Who can speak to Ray can run code. By default it listens on every interface of a Linux machine; the node address
127.0.0.1 is not taken at its word, but turned into the machine's own.
"""

import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray._private import ray_constants

TOKEN, TOKEN_FILE, MODE = "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"


def start_local_ray(cpus: int, **options: Any) -> None:
    """Starts it and connects this process to it.

    Args:
        cpus: how many cores it has to give.
        options: more of ``ray.init``'s.
    """
    _demand_a_token()
    with _only_loopback():
        ray.init(
            "local",  # Without it, Ray would join a cluster that somebody else has started on this machine.
            num_cpus=cpus,
            include_dashboard=False,
            _node_ip_address="127.0.0.1",
            **options,
        )


def _demand_a_token() -> None:
    """One of this process, in its environment and that of the processes it starts; Ray would write one to a file.

    Ray reads it once and keeps it, so a second start in this process has the same.
    """
    os.environ.setdefault(TOKEN, secrets.token_hex(32))
    os.environ.pop(TOKEN_FILE, None)
    # It cannot be turned off: without a mode in the environment, a Ray that starts asks for a token. It also warns that
    # it does, and says how to turn it off.
    os.environ.pop(MODE, None)
    logging.getLogger("ray._private.authentication.authentication_token_setup").setLevel(logging.ERROR)


@contextmanager
def _only_loopback() -> Iterator[None]:
    """As ``RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0``, which Ray reads when it is imported: no other machine can join.

    Only while it starts, since a runner that joins a cluster needs the machine's address.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before
