"""Batches of one image, which batch norm cannot train on, are refused before a job is queued."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from safs.errors import SpecError
from safs.preflight import check
from safs.spec.job import JobSpec

DIGITS: dict[str, Any] = {"model": {"architecture": "mlp"}, "data": {"dataset": "digits"}, "sparsity": 0.5}


def _check(changes: dict[str, Any], root: Path | None = None) -> None:
    check(JobSpec.model_validate(DIGITS | changes), data_root=root, weights=None)


def test_a_batch_size_of_one_is_refused_where_batch_norm_would_see_one_value() -> None:
    with pytest.raises(SpecError, match=r"batch norm.*data\.batch_size") as refused:
        _check({"data": {"dataset": "digits", "batch_size": 1}})

    assert refused.value.field == "data.batch_size"


@pytest.mark.parametrize("architecture", ["lenet5", "resnet18"])
def test_a_batch_size_of_one_is_taken_where_it_trains(architecture: str) -> None:
    """LeNet-5 has no batch norm, and ResNet-18's sees many positions of one image of 32 pixels."""
    data = {"dataset": "digits", "batch_size": 1, "image_size": None if architecture == "lenet5" else 64}

    _check({"model": {"architecture": architecture}, "data": data})


def test_a_training_split_of_one_image_is_refused(tmp_path: Path) -> None:
    images, labels = np.random.default_rng(0).integers(0, 255, (3, 8, 8), dtype=np.uint8), np.array([0, 1, 0])
    np.savez(tmp_path / "three.npz", x=images, y=labels)
    data = {"dataset": "npz", "path": "three.npz", "validation_fraction": 0.5, "test_fraction": 0.34}

    with pytest.raises(SpecError, match="one training image"):
        _check({"data": data}, tmp_path)


def test_two_images_a_batch_are_enough() -> None:
    _check({"data": {"dataset": "digits", "batch_size": 2}})
