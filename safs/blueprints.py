"""Which network a job works on: a named architecture for its data, or the network that the user brought."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from safs import models
from safs.activations.surgery import find_sites
from safs.data import DataInfo
from safs.data.arrays import check_channels
from safs.data.normalisation import check_normalise
from safs.errors import NetworkMismatchError, SafsError, SpecError, SurgeryError
from safs.models.declared import Declaration, read_file
from safs.models.declared.heads import with_classes
from safs.models.declared.indices import check_indices
from safs.models.declared.named import captured
from safs.networks import OWN_NETWORK, Blueprint
from safs.spec.job import JobSpec

LARGEST_DEFAULT_SIZE = 256
"""Pixels a side up to which images keep their size if the job sets no ``data.image_size``."""
_UNITS = {"channels": "channels", "image_size": "pixels a side"}


def blueprint_for(spec: JobSpec, info: DataInfo, file: Path | None) -> Blueprint:
    """The network for this data, with the size and channels of the images or the nearest that the architecture takes.

    Args:
        file: the file that ``spec.model.network`` names.

    Raises:
        NetworkError: ``file`` holds no network, or one that does not fit the data.
        SpecError: the architecture does not take ``spec.data.image_size``.
        DataError: the architecture does not take the number of channels of the images.
    """
    if spec.model.architecture is None:
        assert file is not None, "a job with model.network needs its file"
        try:
            declared = read_file(file)
            check_indices(declared)
            if spec.model.head is not None:
                declared = with_classes(declared, info.classes)
            return _own_network(spec, info, declared)
        except SafsError as error:
            error.field = error.field or "model.network"
            raise
    wanted = spec.data.image_size or min(info.image_size, LARGEST_DEFAULT_SIZE)
    shape = models.input_for(spec.model.architecture, spec.data.channels or info.channels, wanted)
    if spec.data.channels is not None and shape.channels != spec.data.channels:
        raise SpecError(
            f"{spec.model.architecture} does not accept images of {spec.data.channels} channels; the nearest is "
            f"{shape.channels}. Set data.channels to that, or leave it out.",
            field="data.channels",
        )
    if spec.data.image_size is not None and shape.image_size != spec.data.image_size:
        raise SpecError(
            f"{spec.model.architecture} does not take images of {spec.data.image_size} pixels; the nearest that it "
            f"takes is {shape.image_size}. Set data.image_size to that, or leave it out.",
            field="data.image_size",
        )
    check_channels(info.channels, shape.channels)
    check_normalise(spec.data, shape.channels)
    return Blueprint(spec.model.architecture, shape.channels, shape.image_size, info.classes)


def traceable(blueprint: Blueprint) -> tuple[Blueprint, nn.Module]:
    """The blueprint and its network on the meta device; captured by ``torch.export`` if torch.fx cannot trace it."""
    with torch.device("meta"):
        model = blueprint.build()
    if blueprint.declared is not None:
        return blueprint, model
    try:
        find_sites(model)
    except SurgeryError as untraceable:
        try:
            declared = captured(blueprint.architecture, blueprint.channels, blueprint.image_size, blueprint.classes)
        except SafsError as error:
            raise SurgeryError(f"{untraceable} {error}", field="model.architecture") from error
        blueprint = replace(blueprint, declared=declared)
        with torch.device("meta"):
            model = blueprint.build()
    return blueprint, model


def _own_network(spec: JobSpec, info: DataInfo, declared: Declaration) -> Blueprint:
    """The network that the user brought.

    Raises:
        NetworkMismatchError: its classes, channels or image size are not those of the data.
    """
    document = declared.document
    if document.classes != info.classes:
        raise NetworkMismatchError(
            f"the network {document.name} has {document.classes} classes, and the data set has {info.classes}. Capture "
            f"it with an output of {info.classes} classes, or set model.head: reset to start with a fresh classifier "
            "and keep the other weights.",
            field="model.network",
        )
    for name, own in (("channels", document.channels), ("image_size", document.image_size)):
        wanted = getattr(spec.data, name)
        if wanted not in (None, own):
            raise NetworkMismatchError(
                f"the network {document.name} was captured for images of {own} {_UNITS[name]}, and data.{name} is "
                f"{wanted}. Leave it out, or capture the network for it.",
                field=f"data.{name}",
            )
    try:
        check_channels(info.channels, document.channels)
    except SafsError as error:
        raise NetworkMismatchError(error.message, field="model.network") from error
    check_normalise(spec.data, document.channels)
    return Blueprint(
        f"{OWN_NETWORK}{document.name}", document.channels, document.image_size, document.classes, declared=declared
    )
