"""``python -m tests.workers.hanging_worker worker`` is ``safs`` with trainings that hang after the first."""

import os
from pathlib import Path

import pytest

from cli.main import main
from tests.workers.hanging_split import hang_trainings

FOLDER = "HANGING_FOLDER"
"""Environment variable with the folder in which hanging trainings leave their process ids."""

if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patch:
        hang_trainings(patch, Path(os.environ[FOLDER]))
        main()
