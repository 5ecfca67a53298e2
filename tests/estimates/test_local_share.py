from itertools import product
from typing import Any

import pytest

from safs.estimates.local_share import Share, cores, local_share
from safs.spec.resources import ResourcesSpec
from workers.on_ray.capacity import Node, divide


@pytest.mark.parametrize(
    ("cpus", "gpus", "resources", "image_size"),
    list(product((1, 2, 16), (0, 1, 3), ({}, {"trials_in_parallel": 3}, {"gpus_per_trial": 0.5}), (32, 224))),
)
def test_one_machine_is_divided_like_a_cluster_of_one_node(
    cpus: int, gpus: int, resources: dict[str, Any], image_size: int
) -> None:
    spec = ResourcesSpec(**resources)
    if not gpus and "gpus_per_trial" in resources:
        return  # Workers refuse such a job, but a machine that only checks jobs may have no GPU.

    share, worker = local_share(spec, image_size, cpus, gpus), divide([Node(cpus, gpus)], spec, image_size)

    assert share == Share(worker.workers, worker.cpus, worker.gpus)


def test_gpus_per_trial_is_ignored_without_gpus() -> None:
    assert local_share(ResourcesSpec(gpus_per_trial=0.5), 32, cpus=2, gpus=0) == Share(2, 1, 0.0)
    assert cores() >= 1
