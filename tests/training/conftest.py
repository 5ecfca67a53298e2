"""A small real training problem."""

import pytest
import torch

from safs.data import Splits, load
from safs.spec.data import DataSpec


@pytest.fixture(scope="session")
def digits() -> Splits:
    """scikit-learn's digits, 8x8."""
    return load(DataSpec(dataset="digits"), root=None, channels=1, image_size=8, seed=0)


@pytest.fixture(autouse=True)
def _one_thread():
    """One thread, so that sums are computed in the same order each time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
