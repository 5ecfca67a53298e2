"""The cache of a job: outputs of earlier stages and jobs, trials of an earlier attempt, winners of other jobs.

The caller of the pipeline decides where outputs are stored. A key is the hash of everything that an output depends on
(``safs.reuse.keys``), so a cached output can be used without further checks.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Protocol

from safs.events.kinds import Stage
from safs.result_folder import check_writable
from safs.spec.training import Recipe
from safs.trials import Trial


@dataclass(frozen=True, slots=True)
class CachedOutput:
    """An output found in the cache."""

    file: Path
    """File to read. It must not be changed."""
    origin: str
    """Maker of the output: the id of a job, a folder, or ``an earlier attempt`` at this job."""


@dataclass(frozen=True, slots=True)
class Winner:
    """The winner of an earlier job on the same architecture."""

    job: str
    """Id of the job."""
    assignment: dict[str, str]
    """Site path -> operator. Other sites have the network's own activation."""
    recipe: Recipe
    learnable: bool
    """True if alpha and beta were trained."""


class Cache(Protocol):
    """A store of outputs, shared by jobs and by attempts at a job. Only the pipeline's thread calls it."""

    def get(self, key: str) -> CachedOutput | None:
        """Return the output under ``key``, verified against its hash, or None if there is none."""

    def put(self, key: str, stage: Stage, file: Path) -> None:
        """Store a copy of ``file`` under ``key``. An output that is there already stays."""

    def trials(self, stage: Stage) -> Sequence[Trial]:
        """Return the finished trials of an earlier attempt at this stage, by number, with their curves."""

    def winners(self, architecture: str, limit: int) -> Sequence[Winner]:
        """Return winners of the latest succeeded jobs on ``architecture``, newest first, without duplicates."""


class NoCache:
    """A cache that stores nothing."""

    def get(self, key: str) -> CachedOutput | None:
        return None

    def put(self, key: str, stage: Stage, file: Path) -> None:
        """Do nothing."""

    def trials(self, stage: Stage) -> Sequence[Trial]:
        return ()

    def winners(self, architecture: str, limit: int) -> Sequence[Winner]:
        return ()


class FolderCache(NoCache):
    """Outputs in a folder, one file per key, for jobs in a plain process.

    Args:
        folder: created if it does not exist.

    Raises:
        OutputError: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        check_writable(folder, 0)
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
