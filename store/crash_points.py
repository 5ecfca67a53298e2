"""Places at which a process can be told to die by SIGKILL, to show that nothing finished is lost there.

``SAFS_CRASH_AT=finish.before_commit`` kills the process when it comes there, ``SAFS_CRASH_AT=trial.epoch:3`` when it
comes there for the third time; several are separated by commas. Processes that are started anew inherit the variable:
``@`` and a path behind a place name a file that is made before the first of them dies there, and as long as it is
there, nobody else does (``trial.epoch:3@/tmp/died``). Without the variable a place costs a comparison.
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
"""By who comes there: the API (submit, upload), a runner (claim to release), a Ray worker (trial)."""

VARIABLE = "SAFS_CRASH_AT"
_visits: Counter[str] = Counter()


def reach(point: str) -> None:
    """Dies here if this process was told to.

    Raises:
        ValueError: ``SAFS_CRASH_AT`` names no place that there is.
    """
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return
    _visits[point] += 1
    for told in wanted.split(","):
        place, _, marker = told.partition("@")
        name, _, nth = place.partition(":")
        if name not in POINTS:
            raise ValueError(f"{VARIABLE} names {name!r}; there are: {', '.join(POINTS)}")
        if name == point and _visits[point] >= int(nth or 1) and (not marker or _is_first(Path(marker))):
            os.kill(os.getpid(), signal.SIGKILL)


def _is_first(marker: Path) -> bool:
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
