"""Linear layers with rows as lanes."""

import pytest
import torch
import torch.nn.functional as F

from safs.deploy.sparse.lanes.linear import LaneLinear
from tests.deploy.sparse.lanes.test_lane_network import random, sparse


@pytest.mark.parametrize("shape", [(1,), (16,), (17,), (2, 50), (256,), (3, 5, 41)])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_linear_layer_in_lanes_is_that_of_torch(shape: tuple[int, ...], threads: int) -> None:
    layer = sparse(torch.nn.Linear(40, 30))
    linear = LaneLinear(layer.weight.detach(), layer.bias.detach())
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for seed in (1, 2):
            x = random(*shape, 40, seed=seed)
            assert torch.allclose(linear(x), F.linear(x, layer.weight, layer.bias), rtol=1e-4, atol=1e-4)
    finally:
        torch.set_num_threads(before)
