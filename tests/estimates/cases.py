"""A job and paces for tests of estimates."""

from typing import Any

from safs.activations.surgery import Site
from safs.data import DataInfo
from safs.estimates.stopwatch import Lap
from safs.estimates.timing import Kind, Pace, Timing
from safs.networks import Blueprint
from safs.preflight import Preflight

FOUND = Preflight(
    starts={},
    blueprint=Blueprint("lenet5", 1, 28, 10),
    sites=(Site("act1", "relu"),),
    groups={"act1": ("act1",)},
    own={"act1": "relu"},
    layers={"conv1.weight": (10, 10)},
    operators=("relu", "swish"),
    weights=100,
    parameters=120,
    sparsity=0.9,
    live=10,
    data=DataInfo(channels=1, image_size=28, classes=10, train=1000, validation=200, test=300),
)
# 10 steps per epoch, 2 batches of validation, 3 of test.
JOB: dict[str, Any] = {
    "model": {"architecture": "lenet5"},
    "data": {"dataset": "digits", "batch_size": 100},
    "sparsity": 0.9,
    "train": {"epochs": 5},
    "prune": {"schedule": "one_shot", "distribution": "global"},
    "activations": {"strategy": "random", "trials": 4, "epochs": 3},
    "final": {"epochs": 5, "candidates": ["default", "activations"]},
}
OWN, OPERATORS = Pace(Lap(0.08, 0.1, 0.13), 0.02, 1.0), Pace(Lap(0.1, 0.2, 0.4), 0.03, 1.0)
PACES = {Kind.OWN: OWN, Kind.OPERATORS: OPERATORS, Kind.OWN_LEARNABLE: OPERATORS, Kind.LEARNABLE: OPERATORS}
CPU, GPU = Timing(PACES, "cpu, 1 thread", None), Timing(PACES, "NVIDIA H100", "GPU-1")
