"""The section ``data`` of a job spec: the data set, its splits and its normalisation."""

from typing import Annotated, Literal

from pydantic import Field

from safs.spec.fields import Name, PathText, Section


class NormaliseSpec(Section):
    """Mean and standard deviation that a pretrained network expects, after images of bytes are divided by 255.

    Each has one number for all channels, or one for each channel.
    """

    mean: list[Annotated[float, Field(ge=-1e6, le=1e6)]] = Field(min_length=1, max_length=4)
    """Means by channel."""
    std: list[Annotated[float, Field(gt=0, le=1e6)]] = Field(min_length=1, max_length=4)
    """Standard deviations by channel, above 0."""


class DataSpec(Section):
    """The data set, and how it is split into train, validation and test."""

    dataset: Name
    """Name in the data sets registry."""
    path: PathText | None = None
    """Path of an ``image_folder`` or ``npz`` data set, relative to the data root; None for other data sets."""
    upload: PathText | None = None
    """File of the data set ``upload``: the id of an upload, or a path for ``safs run``; None for other data sets."""
    validation_fraction: float = Field(0.1, gt=0, lt=1)
    """Fraction of the training images used for validation, stratified by class."""
    test_fraction: float = Field(0.2, gt=0, lt=1)
    """Fraction used for testing if the data set has no test split (digits, npz without x_test)."""
    batch_size: int = Field(256, ge=1, le=65_536)
    """Images per batch."""
    augment: Literal["default", "none"] = "default"
    """``default`` crops and flips colour photographs and leaves digits unchanged; ``none`` augments nothing."""
    image_size: int | None = Field(None, ge=8, le=1024)
    """Pixels a side that images are resized to; None uses the size nearest to the images' that the network takes."""
    channels: int | None = Field(None, ge=1, le=4)
    """Channels that the network reads; grey images are repeated. None uses the number nearest to the images'."""
    normalise: NormaliseSpec | None = None
    """Numbers to normalise images by; None uses the mean and standard deviation of the training images."""
