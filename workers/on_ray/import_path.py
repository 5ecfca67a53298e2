"""The import path of Ray's workers: that of this process, without the working directory.

Ray adds the working directory to the path of its workers, before all packages. A user's ``workers.py`` or ``numpy.py``
there would be imported, and executed, in place of the right one.
"""

import os
import sys
from collections.abc import Iterable

from ray.job_config import JobConfig


def job_config() -> JobConfig:
    """Configures ``ray.init`` to add only folders to the import path of workers that this process imports from too."""
    config = JobConfig()
    config._py_driver_sys_path = _KnownFolders()
    return config


class _KnownFolders(list[str]):
    """A list that takes only folders of this process's import path."""

    def extend(self, folders: Iterable[str]) -> None:
        known = {os.path.abspath(folder) for folder in sys.path}  # "" is the working directory
        super().extend(folder for folder in folders if os.path.abspath(folder) in known)
