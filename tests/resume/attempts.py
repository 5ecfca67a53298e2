"""Attempts at a job that die by SIGKILL.

``python -m tests.resume.attempts`` imports everything that a runner needs, then forks a runner for each line that it
reads: an attempt needs no imports, and is a real process that can be killed.
"""

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from types import TracebackType
from typing import IO, Self

from sqlalchemy import text

from safs.events.kinds import Event as AnyEvent
from safs.execution.executor import Executor
from safs.execution.serial import SerialExecutor
from safs.preflight import Preflight
from store.session import Database, Transaction
from workers import runner as runner_module
from workers.attempt import Attempt as RunnersAttempt
from workers.on_ray.allocation import pin_in_flight
from workers.recorder import Recorder
from workers.runner import Runner
from workers.settings import WorkerSettings

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True, slots=True)
class Attempt:
    """A runner that takes one job from the queue of the database in ``home``."""

    home: str
    slots: int = 1
    """Number of trials in flight."""
    dies_at: int | None = None
    """Number of finished trials in the database at which the runner kills itself; None lets it end."""
    stage: str | None = None
    """Stage whose trials are counted; None counts those of all searches."""
    torn: bool = False
    """True if the runner dies before the transaction with the last of them is committed, False if after."""


class Attempts:
    """The process with all imports done, which forks attempts.

    Args:
        hash_seed: PYTHONHASHSEED of the process, which changes the order of sets of strings.
    """

    def __init__(self, hash_seed: int) -> None:
        environment = os.environ | {"PYTHONHASHSEED": str(hash_seed), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "tests.resume.attempts"]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        stdin, stdout = self._pipes()
        stdin.close()
        self._process.wait(60)
        stdout.close()

    def make(self, attempt: Attempt) -> None:
        """Run the attempt, and wait for its process to end or to kill itself as ordered."""
        stdin, stdout = self._pipes()
        stdin.write(json.dumps(asdict(attempt)) + "\n")
        stdin.flush()
        answer = stdout.readline()
        assert answer, "the process that forks attempts has ended; its errors are above"
        expected = 0 if attempt.dies_at is None else -signal.SIGKILL
        log = Path(attempt.home) / "runner.log"
        assert int(answer) == expected, f"{attempt} ended with {answer.strip()}: {log.read_text()}"

    def _pipes(self) -> tuple[IO[str], IO[str]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        return self._process.stdin, self._process.stdout


def database_url(home: str | Path) -> str:
    """The URL of the SQLite file in ``home``."""
    return f"sqlite:///{home}/safs.db"


class SerialRunner(Runner):
    """A runner without Ray: its trainings run one after the other in its own process."""

    def __init__(
        self,
        settings: WorkerSettings,
        database: Database,
        stopping: Event,
        slots: int = 1,
        make_executor: Callable[[int], Executor] = lambda slots: SerialExecutor(slots=slots),
    ) -> None:
        def open_serial(attempt: RunnersAttempt, preflight: Preflight) -> AbstractContextManager[Executor]:
            return nullcontext(make_executor(pin_in_flight(attempt, slots)))

        super().__init__(settings, database, stopping, open_serial)


class _DeadlyDatabase(Database):
    """A database that kills its process at a commit."""

    def __init__(self, url: str, dies_at: int, torn: bool, stage: str | None) -> None:
        super().__init__(url)
        self._dies_at, self._torn = dies_at, torn
        self._counted = "stage NOT IN ('dense', 'prune', 'final')" if stage is None else f"stage = '{stage}'"

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        with super().begin() as tx:
            yield tx
            due = self._count(tx) >= self._dies_at
            if due and self._torn:
                os.kill(os.getpid(), signal.SIGKILL)
        if due:
            os.kill(os.getpid(), signal.SIGKILL)

    def _count(self, tx: Transaction) -> int:
        finished = f"{self._counted} AND state IN ('done', 'failed')"
        return int(tx.execute(text(f"SELECT count(*) FROM trials WHERE {finished}")).scalar_one())


class _StepByStep(Recorder):
    """A recorder that writes each event in a transaction of its own, so that the runner dies at the exact trial."""

    def _collect(self) -> tuple[list[tuple[AnyEvent, float]], bool]:
        item = self._queue.get()
        return ([], True) if item is None else ([item], False)


def _run(attempt: Attempt) -> None:
    runner_module.Recorder = _StepByStep
    url = database_url(attempt.home)
    settings = WorkerSettings(home=Path(attempt.home), database_url=url, cpus=1, lease_s=30, heartbeat_s=10)
    database = (
        Database(url) if attempt.dies_at is None else _DeadlyDatabase(url, attempt.dies_at, attempt.torn, attempt.stage)
    )
    runner = SerialRunner(settings, database, Event(), attempt.slots)
    assert runner.run_one(), "there is no job in the queue"


def _fork(attempt: Attempt) -> int:
    """Run the attempt in a child process; return its exit code, or the negated signal that killed it."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    log = os.open(f"{attempt.home}/runner.log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.dup2(log, 1)
    os.dup2(log, 2)
    code = 1
    try:
        _run(attempt)
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def import_all() -> None:
    """Import the modules that a runner imports lazily, which would take most of the time of a tiny job."""
    for module in ("matplotlib.figure", "sklearn.datasets", "torch._dynamo", "safs.search.optuna", "safs.search.smac"):
        import_module(module)
    _draw()


def _draw() -> None:
    """Draw a picture: the first one takes longer than the rest of a tiny job."""
    from safs.report.picture import draw_picture

    with TemporaryDirectory() as folder:
        draw_picture(json.loads((ROOT / "tests/report/report.json").read_text()), Path(folder) / "picture.png")


def _serve() -> None:
    import_all()
    logging.basicConfig(level=logging.INFO)
    for line in sys.stdin:
        print(_fork(Attempt(**json.loads(line))), flush=True)


if __name__ == "__main__":
    _serve()
