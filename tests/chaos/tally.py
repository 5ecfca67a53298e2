"""The observations of a soak, in a file, so that a later run continues."""

import hashlib
import json
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos import inspection

FILE = "chaos.json"


@dataclass
class Tally:
    """Counts of all runs in one home.

    Attributes:
        kills: victim -> number of kills.
        take_over_s: seconds from the kill of a runner with a job to the next claim of that job.
        finished: trial -> hash of its row, for every trial that was seen finished.
        violations: one sentence each.
    """

    kills: Counter[str] = field(default_factory=Counter)
    take_over_s: list[float] = field(default_factory=list)
    finished: dict[str, str] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    minutes: float = 0.0

    @classmethod
    def read(cls, home: Path) -> "Tally":
        """The tally in ``home``, or a new one."""
        if not (home / FILE).exists():
            return cls()
        kept = json.loads((home / FILE).read_text())
        return cls(**kept | {"kills": Counter(kept["kills"])})

    def write(self, home: Path) -> None:
        """Write the tally to ``home``."""
        incoming = home / f"{FILE}.incoming"
        incoming.write_text(json.dumps(vars(self)))
        os.replace(incoming, home / FILE)

    def see(self, rows: dict[inspection.TrialKey, inspection.Row]) -> None:
        """Check that every trial that was finished before is still there, unchanged; add the new ones."""
        now = {"/".join(map(str, key)): _hash(row) for key, row in rows.items()}
        for trial, expected in self.finished.items():
            if now.get(trial) != expected:
                what = "is lost" if trial not in now else "has changed"
                self.complain(f"trial {trial} was finished, and {what}")
        self.finished |= now

    def complain(self, what: str) -> None:
        """Add a violation, unless it is known."""
        if what not in self.violations:
            self.violations.append(what)


def _hash(row: inspection.Row) -> str:
    return hashlib.sha256(repr(sorted(row.items(), key=lambda item: item[0])).encode()).hexdigest()
