"""A TCP proxy that cuts connections in the middle of an answer."""

import socket
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Thread
from typing import Self

CHUNK_BYTES = 4096


@dataclass
class CuttingProxy:
    """A proxy that cuts each of the first ``cuts`` answers after ``after_bytes`` bytes.

    Attributes:
        port: the port of the server behind the proxy, on loopback.
    """

    port: int
    cuts: int
    after_bytes: int
    broken: int = 0
    passed_bytes: int = 0
    _listening: socket.socket = field(init=False)

    def __enter__(self) -> Self:
        self._listening = socket.create_server(("127.0.0.1", 0))
        Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()

    @property
    def url(self) -> str:
        """The URL of the proxy."""
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self.port))
                Thread(target=_pump, args=(caller, server), daemon=True).start()
                Thread(target=self._answer, args=(server, caller), daemon=True).start()

    def _answer(self, server: socket.socket, caller: socket.socket) -> None:
        passed = 0
        with suppress(OSError), server, caller:
            while chunk := server.recv(CHUNK_BYTES):
                passed += len(chunk)
                if self.broken < self.cuts and passed > self.after_bytes:
                    self.broken += 1
                    break
                caller.sendall(chunk)
                self.passed_bytes += len(chunk)
            # close() alone does not end a connection that the other thread still reads.
            server.shutdown(socket.SHUT_RDWR)
            caller.shutdown(socket.SHUT_RDWR)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(CHUNK_BYTES):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
