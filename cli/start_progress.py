"""Progress of processes that start. On a busy machine a start can take minutes, so none is given up by its time."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

PATIENCE_S = 120.0
"""Seconds without progress after which a start is given up."""
LEAST_WORK_S = 10.0
"""Seconds of CPU, used or waited for, that count as progress. An idle service uses 4 in ``PATIENCE_S``."""


@dataclass(slots=True)
class StartProgress:
    """The latest time at which a start made progress: it printed a line, or had ``LEAST_WORK_S`` of work.

    Args:
        began_s: time of the start, on the clock of ``is_stuck``.
    """

    began_s: float
    _latest_s: float = field(init=False)
    _work_s: float = 0.0
    _lines: int = 0

    def __post_init__(self) -> None:
        self._latest_s = self.began_s

    def is_stuck(self, now_s: float, *, work_s: float, lines: int) -> bool:
        """True if the start has made no progress for ``PATIENCE_S``.

        Args:
            work_s: ``Work.total_s`` of the processes so far.
            lines: number of lines that they have printed so far.
        """
        if lines > self._lines or work_s >= self._work_s + LEAST_WORK_S:
            self._latest_s, self._work_s, self._lines = now_s, work_s, lines
        return now_s - self._latest_s > PATIENCE_S


@dataclass(frozen=True, slots=True)
class Work:
    """CPU time of some processes and all that they have started."""

    cpu_s: float
    """Seconds that they ran."""
    waited_s: float
    """Seconds that they could have run, and waited for a core."""

    @property
    def total_s(self) -> float:
        return self.cpu_s + self.waited_s


def work_of(pids: Iterable[int], proc: Path = Path("/proc")) -> Work:
    """The work of the processes so far; zero where there is no ``/proc``."""
    parents = _parents(proc)
    wanted = set(pids)
    while more := {pid for pid, parent in parents.items() if parent in wanted} - wanted:
        wanted |= more
    ran_ns = waited_ns = 0
    for pid in wanted & parents.keys():
        for file in (proc / str(pid) / "task").glob("*/schedstat"):
            try:
                ran, waited, _ = map(int, file.read_text().split())
            except OSError:  # The thread has ended.
                continue
            ran_ns, waited_ns = ran_ns + ran, waited_ns + waited
    return Work(ran_ns / 1e9, waited_ns / 1e9)


def _parents(proc: Path) -> Mapping[int, int]:
    """Process id -> id of its parent."""
    found = {}
    for folder in proc.glob("[0-9]*"):
        try:
            found[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # It has ended.
            continue
    return found
