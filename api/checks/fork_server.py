"""A process that has imported the modules that its requests need, and answers each of them in a fork of itself.

A fork starts in milliseconds, can crash without harm to the next one, and gives its memory back when it ends. Before it
serves, the program imports modules; it must start no thread and no CUDA context, since a fork would have neither.
"""

import gc
import os
import signal
import socket
import sys
from collections.abc import Callable

STARTED = b"+"
"""First byte of every answer, sent before the request is worked on."""


def serve(control: socket.socket, answer: Callable[[bytes], bytes], prepare: Callable[[bytes], None]) -> None:
    """Answer requests until the other side closes ``control``.

    A request is a byte on ``control`` together with a connection. The client sends on the connection a line with the
    seconds that the request may take, then the body, and ends the stream. The fork sends ``STARTED`` and the answer. A
    fork that exceeds its time, or dies, ends the stream without an answer.

    Args:
        answer: body of the request -> body of the answer; called in the fork.
        prepare: called with the byte before the fork, to import modules that many such requests need.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # The kernel removes forks that have ended.
    gc.collect()
    gc.freeze()  # Collections in a fork then leave the pages alone that it shares with this process.
    while True:
        kind, handles, _, _ = socket.recv_fds(control, 1, 1)
        if not handles:
            return
        prepare(kind)
        with socket.socket(fileno=handles[0]) as connection:
            try:
                forked = os.fork()
            except OSError as error:  # The client sees the end of the stream.
                print(f"cannot fork a process for a request: {error}", file=sys.stderr, flush=True)
                continue
            if not forked:
                control.close()
                _run(connection, answer)


def _run(connection: socket.socket, answer: Callable[[bytes], bytes]) -> None:
    """Answer one request, and end the process."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        connection.sendall(STARTED)
        with connection.makefile("rb") as stream:
            limit_s, body = float(stream.readline()), stream.read()
        signal.setitimer(signal.ITIMER_REAL, limit_s)  # SIGALRM ends the process, whatever it is doing.
        connection.sendall(answer(body))
        code = 0
    finally:
        sys.stderr.flush()
        os._exit(code)
