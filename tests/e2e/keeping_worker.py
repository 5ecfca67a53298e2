"""``python -m tests.e2e.keeping_worker worker``: the command ``safs``, whose processes on Ray stay from job to job."""

from functools import cache

import pytest

from cli.main import main
from workers.on_ray import allocation
from workers.on_ray.executor import RayExecutor


class KeptExecutor(RayExecutor):
    """Is left open: to start its processes takes longer than a test's job."""

    def __exit__(self, *_: object) -> None:
        """Nothing."""


if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(allocation, "RayExecutor", cache(KeptExecutor))  # One for each share of the machine.
        main()
