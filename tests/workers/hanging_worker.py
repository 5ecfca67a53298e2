"""``python -m tests.workers.hanging_worker worker``: the command ``safs``, whose trainings hang after the first."""

import os
from pathlib import Path

import pytest

from cli.main import main
from tests.workers.hung import hang_trainings

FOLDER = "HANGING_FOLDER"
"""The variable that names where those who hang leave their process ids."""

if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patch:
        hang_trainings(patch, Path(os.environ[FOLDER]))
        main()
