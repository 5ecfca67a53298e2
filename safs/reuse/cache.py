"""What a job may remember: outputs of earlier stages and jobs, trials of an earlier attempt, winners of other jobs.

The pipeline asks by key and keeps by key; where it is kept is for whoever runs the pipeline. A key is the hash of all
that an output depends on (``safs.reuse.keys``), so what is found under it can be used as it is.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Protocol

from safs.events.kinds import Stage
from safs.spec.job import Recipe
from safs.trials import Trial


@dataclass(frozen=True, slots=True)
class CachedOutput:
    """An output that was kept."""

    file: Path
    """To be read, not changed."""
    origin: str
    """Who made it: the id of a job, or ``an earlier attempt`` at this one."""


@dataclass(frozen=True, slots=True)
class Winner:
    """What won an earlier job on the same architecture."""

    job: str
    """Its id."""
    assignment: dict[str, str]
    """Site path -> operator; the job's own activations elsewhere."""
    recipe: Recipe
    learnable: bool
    """Whether alpha and beta were trained."""


class Cache(Protocol):
    """Where outputs are kept between jobs and between attempts at a job. Called by one thread, the pipeline's."""

    def get(self, key: str) -> CachedOutput | None:
        """The output under ``key``, checked against its hash; None if there is none."""

    def put(self, key: str, stage: Stage, file: Path) -> None:
        """Keeps a copy of ``file`` under ``key``. Whoever was first stays."""

    def trials(self, stage: Stage) -> Sequence[Trial]:
        """The finished trials of an earlier attempt at this job's stage, by number, with their curves."""

    def winners(self, architecture: str, limit: int) -> Sequence[Winner]:
        """Winners of the latest jobs on this architecture that succeeded, the newest first, no two alike."""


class NoCache:
    """Remembers nothing."""

    def get(self, key: str) -> CachedOutput | None:
        return None

    def put(self, key: str, stage: Stage, file: Path) -> None:
        """Nothing."""

    def trials(self, stage: Stage) -> Sequence[Trial]:
        return ()

    def winners(self, architecture: str, limit: int) -> Sequence[Winner]:
        return ()


class FolderCache(NoCache):
    """Outputs in a folder, a file a key: for jobs in a plain process.

    Args:
        folder: made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, key: str) -> CachedOutput | None:
        file = self._folder / key
        return CachedOutput(file, f"{self._folder}") if file.exists() else None

    def put(self, key: str, stage: Stage, file: Path) -> None:
        target = self._folder / key
        if target.exists():
            return
        with NamedTemporaryFile(dir=self._folder, delete=False) as copy, file.open("rb") as source:
            shutil.copyfileobj(source, copy)
        Path(copy.name).replace(target)
