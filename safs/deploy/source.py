"""The result that is exported: its network, its config, and images to compare networks on."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from safs import data
from safs.checkpoint import OpenedResult, load, open_result
from safs.deploy.equality import Images
from safs.errors import SafsError
from safs.result_folder import CONFIG
from safs.spec.job import JobSpec

COMPARED_IMAGES = 512
"""Largest number of images on which an export is compared with the result."""


@dataclass(frozen=True, slots=True)
class Source:
    """A verified result."""

    directory: Path
    opened: OpenedResult
    network: nn.Module
    """Takes normalised whole images; in eval mode."""
    config: dict[str, Any]
    """Content of config.json."""
    images: Images


def open_source(directory: str | Path, data_root: Path | None = None, images: Images | None = None) -> Source:
    """Open the result in ``directory``.

    Args:
        data_root: folder of the data sets that are files. Without the job's data set, random images are compared.
        images: images to compare; None reads the job's validation split.

    Raises:
        CheckpointError: the folder is incomplete, altered, or of a format that this version does not read.
    """
    directory = Path(directory)
    opened, config = open_result(directory), json.loads((directory / CONFIG.filename).read_text())
    images = images or _validation_images(config, opened, data_root) or _random_images(opened)
    return Source(directory, opened, load(directory), config, images)


def compared_images(validation: data.Split) -> Images:
    """The first images of a validation split, normalised, on the CPU."""
    batches = validation.batches(min(COMPARED_IMAGES, len(validation)), device=torch.device("cpu"))
    return Images(next(iter(batches))[0], "validation split")


def _validation_images(config: dict[str, Any], opened: OpenedResult, root: Path | None) -> Images | None:
    blueprint = opened.network.blueprint
    try:
        spec = JobSpec.model_validate(config["spec"])
        splits = data.load(
            spec.data, root=root, channels=blueprint.channels, image_size=blueprint.image_size, seed=spec.seed
        )
    except (ValidationError, SafsError, OSError):
        return None  # The data set is on another machine, or the spec is of another version.
    return compared_images(splits.validation)


def _random_images(opened: OpenedResult) -> Images:
    blueprint = opened.network.blueprint
    shape = (32, blueprint.channels, blueprint.image_size, blueprint.image_size)
    return Images(torch.randn(shape, generator=torch.Generator().manual_seed(0)), "random")
