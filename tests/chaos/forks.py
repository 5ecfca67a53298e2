"""Runners and APIs as real processes that start quickly: they are forked from one process with all imports done.

``python -m tests.chaos.forks`` reads one order a line and forks. Its children are killed when it ends.
"""

import ctypes
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Any, Self

from safs.events.kinds import Event as AnyEvent
from safs.events.kinds import Pulse, Report, Stage, TrialStarted
from safs.execution.executor import OnDone, Plan, Recall, Task
from safs.execution.serial import SerialExecutor
from safs.execution.work import Context, Trained
from safs.search.conductor import Conductor
from safs.trials import Trial
from store.crash_points import VARIABLE
from tests.resume.attempts import ROOT, SerialRunner, import_all

PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Order:
    """A process to fork.

    Attributes:
        what: ``runner`` or ``api``.
        settings: fields of ``WorkerSettings`` or ``ApiSettings``; at least ``home``.
        crash_at: the value of ``SAFS_CRASH_AT`` in the process.
        once: True for a runner that ends after one job.
        holds: numbers of trainings, from 1 in the order in which the runner begins them, that are held at their start
            until ``Forked.let_go``.
    """

    what: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    crash_at: str = ""
    once: bool = False
    holds: tuple[int, ...] = ()


class Forked:
    """A forked process.

    Args:
        home: folder of the service, where a held runner leaves its marks.
    """

    def __init__(self, forks: "Forks", pid: int, home: Path) -> None:
        self._forks, self.pid, self._home = forks, pid, home
        self._code: int | None = None

    @property
    def code(self) -> int | None:
        """The exit code, or the negated signal that ended the process; None while it runs."""
        if self._code is None:
            self._code = self._forks.ask({"poll": self.pid})
        return self._code

    def is_held(self, number: int) -> bool:
        """True once the runner holds the training with this number; fails if the runner has ended."""
        assert self.code is None, (self._home / "runner.log").read_text()
        return _held(self._home, self.pid, number).exists()

    def let_go(self, number: int) -> None:
        """Let the training with this number begin."""
        _let_go(self._home, self.pid, number).touch()

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        if self.code is None:
            os.kill(self.pid, number)

    def wait(self, timeout_s: float = 120.0) -> int:
        """Wait for the process to end; return its exit code."""
        deadline = time.monotonic() + timeout_s
        while (code := self.code) is None:
            assert time.monotonic() < deadline, f"process {self.pid} has not ended after {timeout_s:g} s"
            time.sleep(0.01)
        return code

    def kill(self) -> int:
        """End the process by SIGKILL."""
        self.send(signal.SIGKILL)
        return self.wait()


class Forks:
    """The process with all imports done."""

    def __init__(self) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        environment.pop(VARIABLE, None)
        command = [sys.executable, "-m", "tests.chaos.forks"]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._process.communicate()

    def start(self, order: Order) -> Forked:
        """Fork a process."""
        return Forked(self, self.ask(asdict(order)), Path(order.settings["home"]))

    def ask(self, order: Mapping[str, Any]) -> Any:
        """Send an order; return the answer."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(order) + "\n")
        stdin.flush()
        answer = stdout.readline()
        assert answer, "the process that forks has ended; its errors are above"
        return json.loads(answer)


def _serve() -> None:
    import_all()
    for module in ("api.server", "psycopg", "sqlalchemy.dialects.postgresql.psycopg", "uvicorn", "workers.runner"):
        import_module(module)
    for line in sys.stdin:
        order = json.loads(line)
        answer = _poll(order["poll"]) if "poll" in order else _fork(Order(**order))
        print(json.dumps(answer), flush=True)


def _poll(pid: int) -> int | None:
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def _fork(order: Order) -> int:
    parent = os.getpid()
    if child := os.fork():
        return child
    code = 1
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:
            _become(order)
            code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def _become(order: Order) -> None:
    home = Path(order.settings["home"])
    log = os.open(home / f"{order.what}.log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(levelname)s %(message)s")
    os.environ[VARIABLE] = order.crash_at
    if order.what == "api":
        _be_api(order)
    else:
        _be_runner(order)


def _be_api(order: Order) -> None:
    from api import serve
    from api.settings import ApiSettings

    serve(ApiSettings(**{"estimate_limit_s": 0, "free_disk_bytes": 0, **order.settings}))


def _be_runner(order: Order) -> None:
    """Run like ``workers.process.main``, without Ray."""
    from store.session import Database
    from workers import recorder
    from workers.settings import WorkerSettings

    if order.crash_at:
        recorder.BATCH_S = 0.0  # In one batch, the events of a tiny job would reach most crash points only once.
    stopping = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    settings = WorkerSettings(**{"cpus": 1, "poll_s": 0.1, **order.settings})
    home = Path(order.settings["home"])
    runner = SerialRunner(
        settings,
        Database(settings.database_url),
        stopping,
        make_executor=lambda slots: _HoldingExecutor(slots, home, order.holds),
    )
    if order.once:
        runner.run_one()
    else:
        runner.run_forever()


class _HoldingExecutor(SerialExecutor):
    """Runs trainings in this process, and holds some of them at their start until the test lets them go."""

    def __init__(self, slots: int, home: Path, holds: Sequence[int]) -> None:
        super().__init__(slots=slots)
        self._home, self._holds, self._begun = home, holds, 0

    def search(
        self, stage: Stage, conductor: Conductor, plan: Plan, context: Context, report: Report, recall: Recall
    ) -> list[Trial]:
        return super().search(stage, conductor, plan, context, self._holding(report), recall)

    def train(
        self, stage: Stage, tasks: Sequence[Task], context: Context, report: Report, on_done: OnDone
    ) -> list[Trained]:
        return super().train(stage, tasks, context, self._holding(report), on_done)

    def _holding(self, report: Report) -> Report:
        def held(event: AnyEvent) -> None:
            report(event)
            if isinstance(event, TrialStarted):
                self._begun += 1
                if self._begun in self._holds:
                    self._hold(report)

        return held

    def _hold(self, report: Report) -> None:
        """Waits for ``Forked.let_go``. Pulses go on, so that the run can be ended meanwhile."""
        _held(self._home, os.getpid(), self._begun).touch()
        while not _let_go(self._home, os.getpid(), self._begun).exists():
            report(Pulse())
            time.sleep(0.02)


def _held(home: Path, pid: int, number: int) -> Path:
    return home / f"runner-{pid}-held-{number}"


def _let_go(home: Path, pid: int, number: int) -> Path:
    return home / f"runner-{pid}-let-go-{number}"


if __name__ == "__main__":
    _serve()
