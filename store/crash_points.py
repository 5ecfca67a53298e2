"""Named places in the code at which tests make a process kill itself by SIGKILL, to show that finished work survives.

``SAFS_CRASH_AT=finish.before_commit`` kills the process at that point, ``SAFS_CRASH_AT=trial.epoch:3`` at the third
visit; several points are separated by commas. Restarted processes inherit the variable, so a point can be followed by
``@`` and the path of a marker file (``trial.epoch:3@/tmp/died``): the file is created before the process dies, and
while it exists, no other process dies at that point. Without the variable, a visit costs one lookup.
"""

import os
import signal
from collections import Counter
from pathlib import Path

POINTS = (
    "submit.before_commit",
    "submit.after_commit",
    "upload.before_commit",
    "upload.after_commit",
    "claim.before_commit",
    "claim.after",
    "checkpoint.before_rename",
    "checkpoint.after_rename",
    "stage.before_commit",
    "stage.after_commit",
    "outcome.before_commit",
    "outcome.after_commit",
    "finish.before_commit",
    "finish.after_commit",
    "release.before_commit",
    "trial.begin",
    "trial.epoch",
    "trial.end",
)
"""Points in the API (submit, upload), the runner (claim to release) and the Ray workers (trial)."""

VARIABLE = "SAFS_CRASH_AT"
_visits: Counter[str] = Counter()


def reach(point: str) -> None:
    """Kill this process if ``SAFS_CRASH_AT`` names this visit of ``point``.

    Raises:
        ValueError: ``SAFS_CRASH_AT`` names an unknown point.
    """
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return
    _visits[point] += 1
    for entry in wanted.split(","):
        visit, _, marker = entry.partition("@")
        name, _, nth = visit.partition(":")
        if name not in POINTS:
            raise ValueError(f"{VARIABLE} names the unknown crash point {name!r}. Known: {', '.join(POINTS)}")
        if name == point and _visits[point] >= int(nth or 1) and (not marker or _is_first(Path(marker))):
            os.kill(os.getpid(), signal.SIGKILL)


def _is_first(marker: Path) -> bool:
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
