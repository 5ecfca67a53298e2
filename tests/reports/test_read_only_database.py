"""A runner survives a PostgreSQL server that becomes read-only, as in a failover, and continues afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import text

from store import jobs, queue
from store.records import JobState
from store.session import Database, Transaction
from tests.pipeline.jobs import TINY
from tests.waiting import wait_until
from workers import runner as runner_module
from workers.runner import Runner
from workers.settings import WorkerSettings


class Failover(Database):
    """A database whose server refuses writes (SQLSTATE 25006) while ``read_only`` is set.

    Attributes:
        refused: number of transactions that were begun as read-only.
    """

    read_only = False
    refused = 0

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        with super().begin() as tx:
            if self.read_only:
                tx.execute(text("SET TRANSACTION READ ONLY"))
                self.refused += 1
            yield tx


@pytest.mark.parametrize("when", ["claiming", "finishing"])
def test_a_runner_survives_a_database_that_refuses_writes(
    postgresql_url: str,
    tmp_path: Path,
    when: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    database, stopping = Failover(postgresql_url), Flag()
    with database.begin() as tx:
        job_id = queue.submit(tx, TINY | {"data": {"dataset": "npz", "path": "gone.npz"}}).id
    parse = runner_module.stored_spec

    def fail_over(spec: Any) -> Any:
        if when == "finishing" and database.refused == 0:
            database.read_only = True
        return parse(spec)

    monkeypatch.setattr(runner_module, "stored_spec", fail_over)
    database.read_only = when == "claiming"
    settings = WorkerSettings(home=tmp_path, poll_s=0.01, lease_s=1, heartbeat_s=0.2)
    runner = Thread(target=Runner(settings, database, stopping).run_forever)
    runner.start()

    def ended() -> bool:
        with database.read() as tx:
            return jobs.get(tx, job_id).state.is_final

    try:
        wait_until(lambda: database.refused >= 3 or not runner.is_alive())
        assert runner.is_alive()
        assert not ended()
        database.read_only = False
        wait_until(lambda: ended() or not runner.is_alive())
    finally:
        stopping.set()
        runner.join()

    with database.read() as tx:
        job = jobs.get(tx, job_id)
    database.dispose()
    assert job.state is JobState.FAILED
    assert "read-only transaction" in caplog.text
