"""``python -m tests.e2e.reusing_worker worker``: the ``safs`` command with Ray workers that live as long as it."""

from functools import cache

import pytest

from cli.main import main
from workers.on_ray import allocation
from workers.on_ray.executor import RayExecutor


class KeptExecutor(RayExecutor):
    """An executor that stays open, because its processes take longer to start than a test's job."""

    def __exit__(self, *_: object) -> None:
        """Keep the processes."""


if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(allocation, "RayExecutor", cache(KeptExecutor))  # One executor for each share of the machine.
        main()
