"""PgBouncer in transaction mode: no session state reaches other clients, and no prepared statement is missing."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest
from sqlalchemy import URL, create_engine, make_url, text

from cli.supervisor import free_port
from store import jobs, queue
from store.session import Database
from tests.waiting import wait_until

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed (docs/development.md says how)")


@pytest.fixture
def pooled(migrated_postgresql_url: str, postgresql_url: str) -> Iterator[Database]:
    """A database behind a PgBouncer in transaction mode with a single connection to the server."""
    server = make_url(postgresql_url)
    folder = Path(mkdtemp(prefix="safs-pgbouncer-"))
    port = free_port()
    (folder / "users.txt").write_text(f'"{server.username}" ""\n')
    (folder / "pgbouncer.ini").write_text(_configuration(server, folder, port))
    folder.chmod(0o755)
    command = [str(PGBOUNCER), str(folder / "pgbouncer.ini")]
    if os.geteuid() == 0:  # PgBouncer refuses to run as root, and the server's socket belongs to the server's user.
        owner = pwd.getpwuid(Path(str(server.query["host"])).stat().st_uid)
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        command = [command[0], "-u", owner.pw_name, command[1]]
    url = URL.create("postgresql+psycopg", username=server.username, host="127.0.0.1", port=port, database="pooled")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_until(lambda: process.poll() is not None or _answers(url))
        assert process.poll() is None, (folder / "log").read_text()
        database = Database(url.render_as_string(hide_password=False))
        yield database
        database.dispose()
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder)


def _configuration(server: URL, folder: Path, port: int) -> str:
    schema = str(server.query["options"]).partition("-csearch_path=")[2].split()[0]
    target = f"host={server.query['host']} dbname={server.database} user={server.username}"
    return f"""
[databases]
pooled = {target} connect_query='SET search_path = {schema}'
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 1
ignore_startup_parameters = extra_float_digits
"""


def _answers(url: URL) -> bool:
    engine = create_engine(url)
    try:
        with engine.connect():
            return True
    except Exception:
        return False
    finally:
        engine.dispose()


def test_a_reader_leaves_no_read_only_session_to_a_writer(pooled: Database) -> None:
    with pooled.begin() as tx:
        job = queue.submit(tx, {})

    for _ in range(10):  # Often enough for the driver to prepare the statements of a session.
        assert pooled.query(lambda tx: jobs.get(tx, job.id)).id == job.id
        with pooled.begin() as tx:
            queue.submit(tx, {})

    with pooled.begin() as tx:
        settings = tx.execute(text("SELECT current_setting('default_transaction_read_only')")).scalar_one()
        prepared = tx.execute(text("SELECT count(*) FROM pg_prepared_statements")).scalar_one()
    assert (settings, prepared) == ("off", 0)
