"""A process that the environment asks for traces, and a collector that takes them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from telemetry import tracing

PROGRAM = """
from telemetry import tracing
tracing.configure("safs-runner")
with tracing.span("job", job="job_1"):
    pass
"""


class Collector(HTTPServer):
    """Keeps what is posted to it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taking)
        self.taken: list[tuple[str, bytes]] = []


class _Taking(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        self.server.taken.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_process_exports_its_spans_to_where_the_environment_says(collector: Collector) -> None:
    asked = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
        "NO_PROXY": "127.0.0.1",
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")} | asked

    subprocess.run([sys.executable, "-c", PROGRAM], env=environment, check=True, timeout=60)

    ((path, content),) = collector.taken
    assert path == "/v1/traces"
    assert b"safs-runner" in content
    assert b"job_1" in content


def test_without_an_endpoint_nothing_is_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in tracing.ENDPOINT_VARIABLES:
        monkeypatch.delenv(name, raising=False)

    tracing.configure("safs-runner")

    with tracing.span("job"):
        assert tracing.traceparent() is None
