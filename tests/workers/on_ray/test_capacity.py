from typing import Any

import pytest

from safs.errors import SpecError
from safs.spec.resources import ResourcesSpec
from workers.on_ray.capacity import Node, Share, divide

LAPTOP = (Node(cpus=2),)
GPU_MACHINE = (Node(cpus=16, gpus=4),)
HEAD_AND_TWO = (Node(cpus=0), Node(cpus=8), Node(cpus=8))


@pytest.mark.parametrize(
    ("nodes", "asked", "image_size", "expected"),
    [
        (LAPTOP, {}, 28, Share(slots=2, workers=2, cpus=1, gpus=0)),
        (LAPTOP, {"trials_in_parallel": 1}, 28, Share(slots=1, workers=1, cpus=2, gpus=0)),
        # More in flight than fit: the search proposes as with eight in flight, and two run at once.
        (LAPTOP, {"trials_in_parallel": 8}, 28, Share(slots=8, workers=2, cpus=1, gpus=0)),
        # A quarter of a GPU for small images, a whole one for large images; the cores are divided.
        (GPU_MACHINE, {}, 32, Share(slots=16, workers=16, cpus=1, gpus=0.25)),
        (GPU_MACHINE, {"stack": 8}, 224, Share(slots=32, workers=4, cpus=4, gpus=1.0, stack=8)),
        (GPU_MACHINE, {"stack": 8, "trials_in_parallel": 12}, 224, Share(12, 2, 8, 1.0, stack=8)),
        (GPU_MACHINE, {"stack": 8, "dispatcher": "tune"}, 224, Share(slots=4, workers=4, cpus=4, gpus=1.0)),
        (GPU_MACHINE, {"cuda_graph": True}, 224, Share(slots=4, workers=4, cpus=4, gpus=1.0, cuda_graph=True)),
        (LAPTOP, {"stack": 4, "trials_in_parallel": 3, "cuda_graph": True}, 28, Share(3, 1, 2, 0.0, stack=3)),
        (GPU_MACHINE, {}, 224, Share(slots=4, workers=4, cpus=4, gpus=1.0)),
        # Three of 0.3 fit on each of the four GPUs; a fourth would need parts of two.
        (GPU_MACHINE, {"gpus_per_trial": 0.3}, 224, Share(slots=12, workers=12, cpus=1, gpus=0.3)),
        (GPU_MACHINE, {"gpus_per_trial": 0.6}, 224, Share(slots=4, workers=4, cpus=4, gpus=0.6)),
        (GPU_MACHINE, {"gpus_per_trial": 0}, 224, Share(slots=16, workers=16, cpus=1, gpus=0)),
        # Three trainings on two nodes with eight cores: two share a node, so each gets four cores.
        (HEAD_AND_TWO, {"trials_in_parallel": 3}, 28, Share(slots=3, workers=3, cpus=4, gpus=0)),
    ],
)
def test_a_cluster_is_divided_node_by_node(
    nodes: tuple[Node, ...], asked: dict[str, Any], image_size: int, expected: Share
) -> None:
    assert divide(nodes, ResourcesSpec(**asked), image_size) == expected


def test_gpus_that_no_node_has_are_refused_with_the_remedy() -> None:
    with pytest.raises(SpecError, match=r"no node of the cluster.*0\.5 GPUs.*2 cores and 0 GPUs.*'auto'") as error:
        divide(LAPTOP, ResourcesSpec(gpus_per_trial=0.5), 28)

    assert error.value.field == "resources.gpus_per_trial"


def test_a_training_on_a_gpu_uses_cuda_and_as_many_threads_as_cores() -> None:
    share = divide(GPU_MACHINE, ResourcesSpec(), 224)

    assert (share.device, share.threads) == ("cuda", 4)
    assert divide(LAPTOP, ResourcesSpec(), 224).device == "cpu"


@pytest.mark.parametrize(
    ("share", "packed", "less_packed"),
    [
        (Share(slots=16, workers=16, cpus=1, gpus=0.25), 4, Share(slots=16, workers=8, cpus=1, gpus=0.5)),
        (Share(slots=12, workers=12, cpus=1, gpus=0.3), 3, Share(slots=12, workers=4, cpus=1, gpus=1.0)),
        # Three of the twelve that fit become one of the six that still fit.
        (Share(slots=3, workers=3, cpus=5, gpus=0.25), 4, Share(slots=3, workers=1, cpus=5, gpus=0.5)),
        (Share(slots=4, workers=4, cpus=4, gpus=1.0), 1, Share(slots=4, workers=4, cpus=4, gpus=1.0)),
        (Share(slots=5, workers=5, cpus=2, gpus=0.0), 5, Share(slots=5, workers=2, cpus=2, gpus=0.0)),
        (Share(slots=1, workers=1, cpus=2, gpus=0.0), 1, Share(slots=1, workers=1, cpus=2, gpus=0.0)),
    ],
)
def test_a_less_packed_share_has_half_as_many_trainings_on_a_device_and_the_same_slots(
    share: Share, packed: int, less_packed: Share
) -> None:
    assert share.packed == packed
    assert share.less_packed == less_packed
