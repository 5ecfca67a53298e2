"""``python -m api.checks``: the process that checks jobs for the API, with a socket as standard input."""

import os
import socket

from api.checks.answers import answer, prepare
from api.checks.fork_server import serve

if __name__ == "__main__":
    control = socket.socket(fileno=os.dup(0))
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    serve(control, answer, prepare)
