"""Examples of jobs in the OpenAPI document."""

from typing import Any

_MINIMAL = {"model": {"architecture": "lenet5"}, "data": {"dataset": "digits"}, "sparsity": 0.99}
_FULL = {
    "name": "resnet18 at 99%",
    "model": {"architecture": "resnet18", "weights": None},
    "data": {"dataset": "cifar10", "validation_fraction": 0.1, "batch_size": 256, "augment": "default"},
    "sparsity": 0.99,
    "preset": "balanced",
    "train": {"epochs": 30, "optimizer": "adam", "learning_rate": 1e-3, "weight_decay": 0, "schedule": "cosine"},
    "prune": {"method": "magnitude", "distribution": "global"},
    "activations": {"strategy": "lahc", "trials": 22, "epochs": 8, "operators": ["swish", "hardswish", "acon", "tanh"]},
    "tune": {"strategy": "smac", "trials": 20, "epochs": 8},
    "final": {"epochs": 30, "repeats": 1, "candidates": ["default", "activations", "hyperparameters", "safs"]},
    "resources": {"trials_in_parallel": 4, "gpus_per_trial": 0.25, "time_limit_s": 86400},
    "seed": 0,
}
JOB_EXAMPLES: Any = {
    "minimal": {"summary": "The required fields", "value": _MINIMAL},
    "full": {"summary": "All fields", "value": _FULL},
}
