"""The version of the program that measured a cell, stored beside the cell's report."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from safs.reuse.keys import code_version

FILE = "version.json"


@dataclass(frozen=True, slots=True)
class Version:
    """The sources that measured a cell."""

    commit: str
    """The commit that was checked out, with ``-dirty`` if files differed from it; ``unknown`` outside of git."""
    code: str
    """``safs.reuse.keys.code_version``: a hash of the sources and of the packages that they compute with."""


UNKNOWN = Version("unknown", "unknown")
"""Version of a cell that was measured before versions were stored."""


class MixedVersions(Exception):
    """The cells of a table were measured by different sources."""


def present_version() -> Version:
    """The version of this program."""
    return Version(_commit(), code_version())


def write_version(folder: Path) -> None:
    """Store the present version in a cell's folder."""
    (folder / FILE).write_text(json.dumps(asdict(present_version()), indent=2) + "\n")


def read_version(folder: Path) -> Version:
    """The version that measured the cell in ``folder``; unknown for a folder without one."""
    file = folder / FILE
    return Version(**json.loads(file.read_text())) if file.exists() else UNKNOWN


def check_one_version(versions: Sequence[Version]) -> str:
    """The commit that measured all cells of a table.

    Raises:
        MixedVersions: they were measured by different sources; the message lists the commits.
    """
    if len({version.code for version in versions}) > 1:
        commits = ", ".join(sorted({f"{version.commit} ({version.code[:8]})" for version in versions}))
        raise MixedVersions(
            f"the cells were measured by different versions: {commits}. Measure them again, or name another --results."
        )
    return next((version.commit for version in versions), "")


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()
