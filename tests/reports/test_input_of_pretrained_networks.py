"""Networks that were trained with another normalisation, or on three channels, and are pruned on grey images."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from safs import checkpoint
from safs.data import folder, load
from safs.errors import SpecError
from safs.execution.serial import SerialExecutor
from safs.pipeline.run import run_job
from safs.preflight import check
from safs.reuse.keys import fingerprint
from safs.spec.data import DataSpec
from safs.spec.job import JobSpec
from search_spaces import SPACES
from tests.pipeline.jobs import TINY

NORMALISE = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.5]}


def spec(**data: object) -> JobSpec:
    return JobSpec.model_validate(
        {"model": {"architecture": "resnet18"}, "data": {"dataset": "digits", **data}, "sparsity": 0.5}
    )


def test_grey_images_are_repeated_to_the_given_channels() -> None:
    assert check(spec(), data_root=None, weights=None).blueprint.channels == 1
    assert check(spec(channels=3), data_root=None, weights=None).blueprint.channels == 3


def test_channels_that_the_network_does_not_accept_are_refused() -> None:
    job = JobSpec.model_validate(
        {"model": {"architecture": "lenet5"}, "data": {"dataset": "digits", "channels": 2}, "sparsity": 0.5}
    )

    with pytest.raises(SpecError, match="lenet5 does not accept images of 2 channels; the nearest is 3") as caught:
        check(job, data_root=None, weights=None)

    assert caught.value.field == "data.channels"


def test_images_are_normalised_by_the_given_numbers() -> None:
    given = DataSpec.model_validate({"dataset": "digits", "normalise": NORMALISE})
    sizes = {"root": None, "channels": 3, "image_size": 8, "seed": 0}

    plain, normalised = (load(one, **sizes) for one in (DataSpec(dataset="digits"), given))

    pixels = plain.train.images[:5].float() / 255
    mean, std = (torch.tensor(NORMALISE[name])[:, None, None] for name in ("mean", "std"))
    images, _ = next(normalised.train.batches(5, device=torch.device("cpu")))
    torch.testing.assert_close(images, (pixels - mean) / std)
    for split in (normalised.validation, normalised.test):
        assert torch.equal(split.mean, normalised.train.mean)
    assert fingerprint(plain.train) != fingerprint(normalised.train)


def test_one_number_is_used_for_all_channels_and_pictures_in_files_follow(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / "mine" / label).mkdir(parents=True)
        for number in range(6):
            picture = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8))
            picture.save(tmp_path / "mine" / label / f"{number}.png")
    given = DataSpec.model_validate(
        {"dataset": "image_folder", "path": "mine", "normalise": {"mean": [0.5], "std": [0.5]}}
    )

    in_memory = folder.load(given, tmp_path, 3, 10, 0).train
    in_files = folder.load(given, tmp_path, 3, 10, 0, memory_limit_bytes=0).train
    other = folder.load(given.model_copy(update={"normalise": None}), tmp_path, 3, 10, 0, memory_limit_bytes=0).train

    assert in_memory.mean.tolist() == in_files.mean.tolist() == [127.5] * 3
    assert in_memory.std.tolist() == in_files.std.tolist() == [127.5] * 3
    assert fingerprint(in_files) != fingerprint(other)


@pytest.mark.parametrize(
    ("normalise", "field"),
    [
        ({"mean": [0.5, 0.5], "std": [0.5]}, "data.normalise"),
        ({"mean": [0.5], "std": [0.5, 0.5]}, "data.normalise"),
    ],
)
def test_numbers_that_do_not_match_the_channels_are_refused(normalise: dict[str, list[float]], field: str) -> None:
    with pytest.raises(SpecError, match="3 channels") as caught:
        check(spec(channels=3, normalise=normalise), data_root=None, weights=None)

    assert caught.value.field == field


@pytest.mark.parametrize("std", [[0.0], [-1.0], []])
def test_a_deviation_of_zero_is_refused(std: list[float]) -> None:
    with pytest.raises(ValueError, match="std"):
        spec(normalise={"mean": [0.5], "std": std})


def test_the_result_states_the_given_normalisation(tmp_path: Path) -> None:
    job = JobSpec.model_validate(
        TINY | {"data": {"dataset": "digits", "batch_size": 256, "normalise": {"mean": [0.25], "std": [0.5]}}}
    )

    run_job(
        job,
        spaces=SPACES,
        executor=SerialExecutor("cpu"),
        report=lambda event: None,
        data_root=None,
        dense_weights=None,
        out_dir=tmp_path / "out",
    )

    stated = json.loads((tmp_path / "out" / "config.json").read_text())["input"]
    assert (stated["mean"], stated["std"], stated["scale"]) == ([0.25], [0.5], 255.0)
    assert checkpoint.load(tmp_path / "out") is not None
