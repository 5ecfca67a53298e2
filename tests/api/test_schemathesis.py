"""Schemathesis against the running service, with all its checks; ``make fuzz`` lets it try more."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from api.settings import ApiSettings
from store.artifacts.stored_files import ArtifactStore
from store.session import Database
from tests.api.conftest import MakeKey, ScriptedRunner, running

HERE = Path(__file__).parent
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0")) // 200 or 3
"""Examples of each endpoint, in each phase that draws them."""


@contextmanager
def _jobs_ended(settings: ApiSettings) -> Iterator[None]:
    """A runner that trains nothing ends every job soon, so that there are results, and streams of events end."""
    database, stopping = Database(settings.database_url), Event()
    runner = ScriptedRunner(database, ArtifactStore(settings.artifacts_folder))

    def work() -> None:
        while not stopping.wait(0.05):
            if runner.start_if_any():
                runner.trial("dense", 0, [0.5, 0.9])
                runner.succeed()

    thread = Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
        database.dispose()


def test_schemathesis_finds_no_failure(settings: ApiSettings, make_key: MakeKey, tmp_path: Path) -> None:
    authorization = make_key("fuzzer", "admin")["Authorization"]
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"), "run"),
        *("--checks", "all", "--max-examples", str(EXAMPLES), "--no-color"),
        *("--header", f"Authorization: {authorization}"),
        *("--phases", "examples,coverage,fuzzing,stateful"),
        *(("--seed", "1") if not os.environ.get("FUZZ_EXAMPLES") else ()),
    ]
    patient = settings.model_copy(update={"requests_per_minute": 10**6})
    environment = os.environ | {
        "SCHEMATHESIS_HOOKS": "tests.api.schemathesis_hooks",
        "PYTHONPATH": str(HERE.parents[1]),
    }

    with _jobs_ended(settings), running(patient) as (address, _):
        done = subprocess.run(
            [*command, f"{address}/openapi.json"],
            cwd=tmp_path,  # It leaves a folder where it runs.
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
    print(done.stdout[-2000:])
