"""The presence of a runner: its heartbeat, its Ray's resources, and its end."""

from pathlib import Path

import pytest

from store import runners
from store.runners import Runner
from store.session import Database
from tests.waiting import wait_until
from workers.presence import Presence, Resources
from workers.settings import WorkerSettings


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> WorkerSettings:
    return WorkerSettings(home=tmp_path, database_url=database_url, heartbeat_s=0.01, lease_s=60)


def listed(database: Database) -> tuple[Runner, ...]:
    with database.read() as tx:
        return runners.list(tx)


def test_a_runner_is_listed_from_its_start_to_its_end(database: Database, settings: WorkerSettings) -> None:
    free = [4.0]

    def resources() -> Resources:
        return {"cores": {"total": 4.0, "free": free[0]}}

    with Presence(settings, database, "10.0.0.1:6379", resources):
        wait_until(lambda: listed(database))
        free[0] = 1.0
        wait_until(lambda: listed(database)[0].resources["cores"]["free"] == 1.0)
        (runner,) = listed(database)

    assert (runner.name, runner.state, runner.cluster) == (settings.name, "idle", "10.0.0.1:6379")
    assert listed(database) == ()


def test_a_ray_that_does_not_answer_leaves_the_heartbeat(database: Database, settings: WorkerSettings) -> None:
    def resources() -> Resources:
        raise RuntimeError("the GCS is away")

    presence = Presence(settings, database, None, resources)
    presence.beat()

    (runner,) = listed(database)
    assert (runner.state, runner.resources) == ("idle", {})


def test_a_runner_that_was_forgotten_announces_itself_again(database: Database, settings: WorkerSettings) -> None:
    presence = Presence(settings, database, None, dict)
    presence.beat()
    with database.begin() as tx:
        runners.leave(tx, settings.name)

    presence.beat()

    assert [one.name for one in listed(database)] == [settings.name]
